"""The Compact Transformers for images and text, and a causal language model of the same blocks.

Knows architectures, their published names and weights; knows nothing of data, training or studies.
"""

from crossnorm.models.compact_transformers import CompactTransformer, LanguageModel, TextTransformer
from crossnorm.models.complexity import count_macs, count_parameters
from crossnorm.models.config import ImageConfig, LanguageConfig, TextConfig
from crossnorm.models.factory import create_model
from crossnorm.models.generation import generate
from crossnorm.models.presets import list_models
from crossnorm.models.published_weights import load_weights
from crossnorm.models.serialization import load_model, save_model
from crossnorm.models.variant_sites import place, places, set_alpha, sites
from crossnorm.models.word_vectors import load_word_vectors, set_word_vectors

__all__ = [
    "CompactTransformer",
    "ImageConfig",
    "LanguageConfig",
    "LanguageModel",
    "TextConfig",
    "TextTransformer",
    "count_macs",
    "count_parameters",
    "create_model",
    "generate",
    "list_models",
    "load_model",
    "load_weights",
    "load_word_vectors",
    "place",
    "places",
    "save_model",
    "set_alpha",
    "set_word_vectors",
    "sites",
]

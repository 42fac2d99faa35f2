"""The Compact Transformers for images and text, and a causal language model of the same blocks.

Architectures, their published names and weights, files, and the sites at which a variant can act.
"""

from crossnorm.models.compact_transformers import CompactTransformer, LanguageModel, TextTransformer
from crossnorm.models.complexity import count_macs, count_parameters
from crossnorm.models.config import ImageConfig, LanguageConfig, TextConfig
from crossnorm.models.factory import create_model
from crossnorm.models.presets import list_models
from crossnorm.models.published_weights import load_weights
from crossnorm.models.serialization import load_model, save_model
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
    "list_models",
    "load_model",
    "load_weights",
    "load_word_vectors",
    "save_model",
    "set_word_vectors",
]

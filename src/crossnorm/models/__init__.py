"""The Compact Transformers for images and text, and a causal language model of the same blocks.

Architectures, their published names and weights, files, and the sites at which a variant can act.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm._lazy import lazy

if TYPE_CHECKING:
    from crossnorm.models.compact_transformers import CompactTransformer as CompactTransformer
    from crossnorm.models.compact_transformers import LanguageModel as LanguageModel
    from crossnorm.models.compact_transformers import TextTransformer as TextTransformer
    from crossnorm.models.complexity import count_macs as count_macs
    from crossnorm.models.complexity import count_parameters as count_parameters
    from crossnorm.models.config import ImageConfig as ImageConfig
    from crossnorm.models.config import LanguageConfig as LanguageConfig
    from crossnorm.models.config import TextConfig as TextConfig
    from crossnorm.models.factory import create_model as create_model
    from crossnorm.models.presets import list_models as list_models
    from crossnorm.models.published_weights import load_weights as load_weights
    from crossnorm.models.serialization import load_model as load_model
    from crossnorm.models.serialization import save_model as save_model
    from crossnorm.models.word_vectors import load_word_vectors as load_word_vectors
    from crossnorm.models.word_vectors import set_word_vectors as set_word_vectors

_HOME = {
    "CompactTransformer": "crossnorm.models.compact_transformers",
    "ImageConfig": "crossnorm.models.config",
    "LanguageConfig": "crossnorm.models.config",
    "LanguageModel": "crossnorm.models.compact_transformers",
    "TextConfig": "crossnorm.models.config",
    "TextTransformer": "crossnorm.models.compact_transformers",
    "count_macs": "crossnorm.models.complexity",
    "count_parameters": "crossnorm.models.complexity",
    "create_model": "crossnorm.models.factory",
    "list_models": "crossnorm.models.presets",
    "load_model": "crossnorm.models.serialization",
    "load_weights": "crossnorm.models.published_weights",
    "load_word_vectors": "crossnorm.models.word_vectors",
    "save_model": "crossnorm.models.serialization",
    "set_word_vectors": "crossnorm.models.word_vectors",
}

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

__getattr__ = lazy(__name__, _HOME)

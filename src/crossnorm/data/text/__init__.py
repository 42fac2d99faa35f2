"""Labeled texts for classification, and token streams for language modeling.

Tokenizers of pretrained models are in ``adapters.hf_text_classifier``.
"""

"""Texts: labelled sentences for classification, and streams of tokens for language models.

Tokenizers of pretrained models are in ``adapters.hf_text_classifier``.
"""

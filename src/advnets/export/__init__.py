"""Nets of a run as other programs take them: ONNX, torch.export, the layout of the Hugging Face hub."""

"""The forms in which a model leaves: a bundle of its own, TorchScript, ONNX and OpenVINO."""

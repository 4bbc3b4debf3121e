"""The forms in which a model leaves: a bundle with the code it needs, TorchScript, ONNX and OpenVINO."""

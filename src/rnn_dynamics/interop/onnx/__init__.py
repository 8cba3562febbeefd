"""ONNX: recurrent nodes of a graph, and steps that a graph writes out, told by what they compute."""

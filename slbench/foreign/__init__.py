"""Models that slbench did not write: of timm, of torchvision and of users' files.

- constructors: find a constructor, check its arguments, call it
- pretrained: initial weights from a safetensors file
- network: the model with a method, as a Backbone
- check: whether every model of a grid can be built and takes its images
"""

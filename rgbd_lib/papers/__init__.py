"""The papers' own networks, in the arithmetic and under the names of their published weights."""

from rgbd_lib.methods.registry import Output
from rgbd_lib.papers.official import load_official
from rgbd_lib.papers.registry import NetworkInfo, build, get, names, network

__all__ = ["NetworkInfo", "Output", "build", "get", "load_official", "names", "network"]

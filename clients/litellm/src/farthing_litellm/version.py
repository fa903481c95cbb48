"""The version, apart from everything else, so that a build can read it without importing litellm."""

VERSION = "0.1.0"

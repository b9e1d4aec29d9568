"""FBNetV2: channels and resolutions searched by masks."""

"""The picture work, against real worker processes. Nothing here reads a photo that is not drawn here."""

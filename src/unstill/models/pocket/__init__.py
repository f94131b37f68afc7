"""The bundled model: geometry moves the camera, a small network finds and moves what the scene moves by itself."""

"""How the pictures of this folder are drawn."""

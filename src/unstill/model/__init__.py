"""Stable Video Diffusion in plain PyTorch: what the networks are, and how files become networks.

    picture ─▶ clip ──▶ embedding ─┐
            ─▶ vae ───▶ latents ───┴▶ unet, many times ─▶ latents ─▶ vae ─▶ frames

A tensor's name ends in the letters of its axes:

    B  clip          C  channel      N  things in a row: tokens, or the frames of all clips one after another
    F  frame         H  rows         D  width of a vector
    K  head          W  columns      I  number told to the network: fps − 1, motion, noise

so x_BFCHW is [clips, frames, channels, rows, columns]. Modules carry the names of the published diffusers files.
The package does not know of requests, pictures' formats, samplers' steps or devices' limits.
"""

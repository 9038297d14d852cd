"""Tight boxes measured from loose ones: `refine_clip` for the frames of a film, `refine_images` for single images."""

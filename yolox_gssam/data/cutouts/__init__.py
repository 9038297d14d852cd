"""Objects cut out of pictures or rendered, with alpha: a bank of them, and pasting them into training images."""

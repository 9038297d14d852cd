"""The command line: `yolox-gssam COMMAND`, and the tools of the checkout."""

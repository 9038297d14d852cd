from yolox_gssam.cli.main import main

main()

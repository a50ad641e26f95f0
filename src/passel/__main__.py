from passel.cli.app import main

main()

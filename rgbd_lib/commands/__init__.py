"""One file per subcommand of ``python -m rgbd_lib``; each imports its heavy parts when it runs."""

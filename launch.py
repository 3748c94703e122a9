# -*- coding: utf-8 -*-
"""Starts Gesso: `python launch.py [doctor | --test | flags of the UI]`. What it does stands in webui/launcher.py.

This file is read by any Python, from 2.7 on, so that each can say which one is needed instead.
"""

import os
import sys

if sys.version_info < (3, 8):
    sys.stderr.write("Gesso needs Python 3.11 to 3.14; this is Python %d.%d.\n" % sys.version_info[:2])
    sys.stderr.write("Install one from https://www.python.org/downloads/ and start Gesso with it.\n")
    sys.exit(1)

if __name__ == "__main__":
    from webui.launcher import main

    sys.exit(main(sys.argv[1:], os.environ))

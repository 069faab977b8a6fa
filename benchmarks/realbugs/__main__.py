"""`python -m benchmarks.realbugs`."""

import sys

from benchmarks.realbugs.run import main

sys.exit(main())

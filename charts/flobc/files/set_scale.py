"""Set the first counts of pods under ``scaling: external``; arguments are RESOURCE/NAME=COUNT."""

import os
import sys
import urllib.error

from cluster import Cluster


def main() -> int:
    """Set every count in the namespace that the environment names."""
    cluster = Cluster(os.environ["NAMESPACE"])
    try:
        for argument in sys.argv[1:]:
            resource, _, count = argument.partition("=")
            cluster.set_scale(resource, int(count))
    except urllib.error.URLError as error:
        print(f"Kubernetes did not take the number of pods ({error}); this Job tries again.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

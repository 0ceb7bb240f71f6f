"""Without livekit-agents the plugin says what to install, and the rest of listenkit works."""

from __future__ import annotations

import subprocess
import sys


def test_the_import_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['livekit.agents'] = None\n"
        "import listenkit\n"
        "try:\n    import listenkit.livekit\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'listenkit[livekit]'" in done.stdout, done

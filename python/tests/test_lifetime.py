"""Memory, threads, processes."""

import gc
import os
import sys
import threading
import weakref

import numpy as np
import pytest
from recordings import FIXTURES, audio

import listenkit
from listenkit import VAD, Detector


def fingerprint(samples, rate):
    with Detector(rate) as detector:
        for at in range(0, len(samples), rate // 50):
            detector.process(samples[at : at + rate // 50])
        detector.flush()
        return detector.fingerprint


def test_objects_go_when_nobody_holds_them():
    detector = Detector(16_000, segment_audio=True)
    gone = weakref.ref(detector)
    pointer = weakref.ref(detector._pointer)
    del detector
    gc.collect()
    assert gone() is None and pointer() is None


def test_a_thousand_detectors_leave_nothing_behind():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")
    for _ in range(100):
        Detector(48_000).process(bytes(960))
    before = resident()
    for _ in range(1000):
        Detector(48_000).process(bytes(960))
    # Each has 16 KB of state: a leak would be 16 MB.
    assert resident() - before < 4 << 20


def test_threads_with_their_own_detectors_agree():
    samples, rate = audio("conversation-en")
    samples = samples[: 5 * rate]
    expected = fingerprint(samples, rate)
    found = []
    threads = [threading.Thread(target=lambda: found.extend(fingerprint(samples, rate) for _ in range(3))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 24


def test_the_interpreter_is_free_while_a_detector_hears(turn_model):
    # A second of thinking in one call; meanwhile this thread counts. With the GIL held it could not.
    mono = np.random.default_rng(1).normal(0, 0.1, 8 * 16_000).astype(np.float32)
    done = threading.Event()

    def think():
        for _ in range(10):
            turn_model(mono)
        done.set()

    thread = threading.Thread(target=think)
    switch = sys.getswitchinterval()
    # No forced switches: the other thread lets go by itself or not at all.
    sys.setswitchinterval(1000)
    try:
        thread.start()
        ticks = 0
        while not done.wait(0.002):
            ticks += 1
    finally:
        sys.setswitchinterval(switch)
        thread.join()
    assert ticks > 10


def test_one_detector_in_many_threads_is_refused_and_unharmed():
    samples, rate = audio("conversation-en")
    refused, errors = [], []
    with Detector(rate, report_windows=True) as detector:

        def use():
            for at in range(0, 2 * rate, 480):
                try:
                    detector.process(samples[at : at + 480])
                except listenkit.BusyError as error:
                    refused.append(error)
                except Exception as error:
                    errors.append(error)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        heard = 4 * 200 - len(refused)
        assert detector.position == heard * 480
        detector.reset()
        detector.process(samples)
        detector.flush()
        assert detector.stats.samples_in == len(samples)


def test_closing_in_one_thread_waits_for_the_call_in_another(turn_model):
    mono = np.zeros(8 * 16_000, np.float32)
    for _ in range(5):
        model = listenkit.TurnModel()
        out = []
        thread = threading.Thread(target=lambda model=model, out=out: out.append(model(mono)))
        thread.start()
        model.close()
        thread.join()
        # Either it was in time, or it was told that the model is closed; never a crash.
        assert len(out) <= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_what_was_made_before_a_fork_works_after_it():
    samples, rate = audio("conversation-en")
    cut = 2 * rate
    with Detector(rate) as whole:
        whole.process(samples)
        whole.flush()
        expected = whole.fingerprint
    vad = VAD()
    window = samples[rate : rate + 512]
    before = vad(window)
    with Detector(rate) as detector:
        detector.process(samples[:cut])
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                detector.process(samples[cut:])
                detector.flush()
                vad.reset()
                same = vad(window) == before
                os.write(write, f"{detector.fingerprint} {same}".encode())
            finally:
                os._exit(0)
        detector.process(samples[cut:])
        detector.flush()
        os.close(write)
        with os.fdopen(read) as pipe:
            said = pipe.read()
        assert os.waitpid(child, 0)[1] == 0
        assert said == f"{expected} True" and detector.fingerprint == expected


def test_processes_of_multiprocessing_find_the_same():
    import multiprocessing

    path = str(FIXTURES / "speech-fr-8k" / "audio.wav")
    here = listenkit.detect(path, turn_model=False)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(_detect, (path,))
    assert there == here


def _detect(path):
    return listenkit.detect(path, turn_model=False)


def test_every_status_is_an_exception_with_a_text():
    from listenkit import _lib

    statuses = {
        name: number
        for name, number in ((name, getattr(_lib.lib, name)) for name in dir(_lib.lib) if name.startswith("LISTENKIT_"))
        if isinstance(number, int) and number < 0
    }
    assert len(statuses) >= 18
    for name, number in statuses.items():
        error = _lib.error(number)
        assert isinstance(error, listenkit.ListenkitError) and error.status == number
        assert len(str(error)) > 10, name
    # Those that a Python program can act on have a class of their own.
    plain = {name for name, number in statuses.items() if type(_lib.error(number)) is listenkit.ListenkitError}
    assert plain == {
        "LISTENKIT_NULL_POINTER",
        "LISTENKIT_STRUCT_SIZE",
        "LISTENKIT_BUFFER_TOO_SMALL",
        "LISTENKIT_WRONG_HANDLE",
    }


def test_a_library_that_cannot_be_loaded_is_named(tmp_path):
    import subprocess

    wrong = tmp_path / "wrong.so"
    wrong.write_bytes(b"no library")
    for path in (wrong, tmp_path / "nothing.so"):
        environment = os.environ | {"LISTENKIT_LIBRARY": str(path)}
        done = subprocess.run([sys.executable, "-c", "import listenkit"], env=environment, capture_output=True, text=True)
        assert done.returncode != 0
        assert "ImportError" in done.stderr and str(path) in done.stderr and "pip install ./python" in done.stderr

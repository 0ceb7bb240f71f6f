"""libopus beside this crate: figures, quality, and the packets of the tests.

Needs numpy, soxr and the wheel `av`, whose libopus is called through ctypes (or the library that LIBOPUS names).

    python libopus.py figures FIGURES WAV    # FIGURES: the built example `figures`
    python libopus.py quality FIGURES WAV
    python libopus.py packets WAV OUT        # the committed packets, see tests/data/README.md
"""

import ctypes
import glob
import os
import subprocess
import sys
import tempfile
import time
import wave

import numpy as np
import soxr

APPLICATION_VOIP, APPLICATION_AUDIO, APPLICATION_LOWDELAY = 2048, 2049, 2051
SET_BITRATE, SET_VBR, SET_COMPLEXITY, SET_INBAND_FEC, SET_LOSS, SET_DTX = 4002, 4006, 4010, 4012, 4014, 4016
SET_BANDWIDTH, SET_CHANNELS = 4008, 4022


def library():
    path = os.environ.get("LIBOPUS")
    if not path:
        import av

        beside = os.path.join(os.path.dirname(os.path.dirname(av.__file__)), "av.libs")
        path = sorted(glob.glob(os.path.join(beside, "libopus-*.so*")))[0]
    opus = ctypes.CDLL(path)
    opus.opus_get_version_string.restype = ctypes.c_char_p
    for name in ("opus_encoder_create", "opus_decoder_create"):
        getattr(opus, name).restype = ctypes.c_void_p
    return opus


OPUS = library()


class Encoder:
    def __init__(self, rate, channels=1, application=APPLICATION_VOIP, **controls):
        error = ctypes.c_int()
        self.state = ctypes.c_void_p(OPUS.opus_encoder_create(rate, channels, application, ctypes.byref(error)))
        assert error.value == 0
        self.channels, self.out = channels, ctypes.create_string_buffer(1500)
        self.control(**controls)

    def control(self, **controls):
        for name, value in controls.items():
            assert OPUS.opus_encoder_ctl(self.state, globals()["SET_" + name.upper()], ctypes.c_int(value)) == 0

    def encode(self, pcm):
        data = pcm.ctypes.data_as(ctypes.c_void_p)
        size = OPUS.opus_encode(self.state, data, len(pcm) // self.channels, self.out, 1500)
        assert size > 0
        return self.out.raw[:size]


class Decoder:
    def __init__(self, rate, channels=1):
        error = ctypes.c_int()
        self.state = ctypes.c_void_p(OPUS.opus_decoder_create(rate, channels, ctypes.byref(error)))
        assert error.value == 0
        self.channels, self.out = channels, np.zeros(5760 * channels, np.int16)
        self.pointer = self.out.ctypes.data_as(ctypes.c_void_p)

    def decode(self, packet, samples=5760, fec=0):
        count = OPUS.opus_decode(self.state, packet, len(packet or b""), self.pointer, samples, fec)
        assert count > 0
        return self.out[: count * self.channels].copy()


def speech(path, rate):
    """The first channel of a WAV of 16 bits at `rate`, 60 s of it, repeated if it is shorter."""
    with wave.open(path) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")[:: file.getnchannels()]
        source = file.getframerate()
    pcm = soxr.resample(pcm, source, rate)
    pcm = np.tile(pcm, 1 + 60 * rate // len(pcm))[: 60 * rate]
    return np.ascontiguousarray(pcm, np.int16)


def blocks(pcm, size):
    return pcm[: len(pcm) // size * size].reshape(-1, size)


def packets_of(pcm, rate, **controls):
    encoder = Encoder(rate, **controls)
    return [encoder.encode(block) for block in blocks(pcm, rate // 50)]


def write(path, packets):
    with open(path, "wb") as file:
        for packet in packets:
            file.write(len(packet).to_bytes(2, "little") + packet)


def read(path):
    data, packets = open(path, "rb").read(), []
    while data:
        size = int.from_bytes(data[:2], "little")
        packets.append(data[2 : 2 + size])
        data = data[2 + size :]
    return packets


def figures(program, path):
    """Seconds of CPU per minute, best of five, both in turn."""

    def ours(*arguments):
        return float(subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True).stdout)

    def decoding(packets, rate):
        decoder = Decoder(rate)
        before = time.thread_time()
        for packet in packets:
            OPUS.opus_decode(decoder.state, packet, len(packet), decoder.pointer, 5760, 0)
        return (time.thread_time() - before) * 60 / (len(packets) * 0.02)

    def encoding(pcm, rate, controls):
        encoder = Encoder(rate, **controls)
        pointers = [(block, block.ctypes.data_as(ctypes.c_void_p)) for block in blocks(pcm, rate // 50)]
        before = time.thread_time()
        for block, pointer in pointers:
            OPUS.opus_encode(encoder.state, pointer, len(block), encoder.out, 1500)
        return (time.thread_time() - before) * 60 / (len(pcm) / rate)

    print(OPUS.opus_get_version_string().decode())
    with tempfile.TemporaryDirectory() as folder:
        streams = [
            ("48 kHz voip 32 kbit/s", dict(bitrate=32_000)),
            ("48 kHz voip 24 kbit/s", dict(bitrate=24_000)),
            ("48 kHz voip 16 kbit/s", dict(bitrate=16_000)),
            ("48 kHz audio 64 kbit/s", dict(bitrate=64_000, application=APPLICATION_AUDIO)),
        ]
        for name, controls in streams:
            packets = packets_of(speech(path, 48_000), 48_000, **controls)
            file = os.path.join(folder, "packets")
            write(file, packets)
            for rate in (16_000, 24_000, 48_000):
                best = [9.0, 9.0]
                for _ in range(5):
                    best = [min(best[0], ours("decode", file, rate)), min(best[1], decoding(packets, rate))]
                print(f"decode {name} to {rate}: {best[0]:.3f}, libopus {best[1]:.3f}")
        for rate in (16_000, 48_000):
            print(f"pause at {rate}: {min(ours('pause', rate) for _ in range(3)):.3f}")
        for rate in (24_000, 48_000):
            pcm = speech(path, rate)
            file = os.path.join(folder, "pcm")
            pcm.tofile(file)
            for mode, application in (("voip", APPLICATION_VOIP), ("low-delay", APPLICATION_LOWDELAY)):
                for bitrate in (24_000, 32_000, 48_000, 64_000):
                    for complexity in (0, 2, 5, 9):
                        controls = dict(bitrate=bitrate, complexity=complexity, application=application)
                        best = [9.0, 9.0]
                        for _ in range(3):
                            best = [
                                min(best[0], ours("encode", file, rate, complexity, bitrate, mode)),
                                min(best[1], encoding(pcm, rate, controls)),
                            ]
                        print(f"encode {rate} {mode} {bitrate}, complexity {complexity}: {best[0]:.3f}, libopus {best[1]:.3f}")


def aligned(reference, other, most):
    """Both cut so that `other` fits best, and by how much it was late."""
    probe = reference[20_000:40_000].astype(float)
    scores = [np.dot(probe, other[20_000 + lag : 40_000 + lag].astype(float)) for lag in range(-most, most)]
    lag = int(np.argmax(scores)) - most
    reference, other = reference[most:-most], other[most + lag :]
    size = min(len(reference), len(other))
    return reference[:size].astype(float), other[:size].astype(float), lag


def snr(reference, other):
    return 10 * np.log10(np.sum(reference**2) / max(np.sum((reference - other) ** 2), 1e-9))


def distance(reference, other, rate):
    """Mean distance of the log spectra in 24 bands up to 8 kHz, in dB, where there is speech."""
    size = rate // 50
    window = np.hanning(size)
    edges = np.unique(np.round(np.geomspace(100, 7_500, 25) * size / rate).astype(int))

    def bands(pcm):
        power = np.abs(np.fft.rfft(blocks(pcm, size) * window)) ** 2
        return np.stack([power[:, a : max(b, a + 1)].mean(axis=1) for a, b in zip(edges, edges[1:])], 1)

    a, b = bands(reference), bands(other)
    loud = a.sum(axis=1) > 1e-3 * a.sum(axis=1).max()
    floor = a[loud].max() * 1e-6
    return float(np.mean(np.abs(10 * np.log10((a[loud] + floor) / (b[loud] + floor)))))


def quality(program, path):
    """Decoding: how like libopus. Encoding: how like the original, decoded by libopus, beside libopus's own encoder."""

    def run(*arguments):
        subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)

    with tempfile.TemporaryDirectory() as folder:
        file, out = os.path.join(folder, "packets"), os.path.join(folder, "out")
        source = speech(path, 48_000)
        streams = [
            ("voip 12 kbit/s", dict(bitrate=12_000)),
            ("voip 16 kbit/s", dict(bitrate=16_000)),
            ("voip 32 kbit/s", dict(bitrate=32_000)),
            ("audio 64 kbit/s", dict(bitrate=64_000, application=APPLICATION_AUDIO)),
            ("voip 24 kbit/s with FEC", dict(bitrate=24_000, inband_fec=1, loss=15)),
        ]
        for name, controls in streams:
            for lost in (0, 10):
                packets = packets_of(source, 48_000, **controls)
                drop = np.random.default_rng(1).random(len(packets)) < lost / 100
                drop[:50] = drop[-50:] = False
                drop[1:] &= ~drop[:-1]
                write(file, [b"" if gone else packet for packet, gone in zip(packets, drop)])
                for rate in (8_000, 12_000, 16_000, 24_000, 48_000):
                    run("decode", file, rate, out)
                    ours = np.fromfile(out, "<i2").astype(float)
                    decoder, theirs = Decoder(rate), []
                    for nth, packet in enumerate(packets):
                        spare = nth + 1 < len(packets) and has_spare(packets[nth + 1])
                        if drop[nth]:
                            following = packets[nth + 1] if spare else None
                            theirs.append(decoder.decode(following, rate // 50, int(spare)))
                        else:
                            theirs.append(decoder.decode(packet))
                    theirs = np.concatenate(theirs).astype(float)
                    size = min(len(ours), len(theirs))
                    equal = "same length" if len(ours) == len(theirs) else f"{len(ours)} and {len(theirs)}"
                    print(f"decode {name}, {lost} % lost, to {rate}: {snr(theirs[:size], ours[:size]):.1f} dB, {equal}")
        for rate in (24_000, 48_000):
            pcm = speech(path, rate)
            pcm.tofile(file)
            for mode, application in (("voip", APPLICATION_VOIP), ("low-delay", APPLICATION_LOWDELAY)):
                for bitrate in (24_000, 32_000, 48_000, 64_000):
                    for complexity in (0, 2, 5, 9):
                        run("encode", file, rate, complexity, bitrate, mode, out)
                        controls = dict(bitrate=bitrate, complexity=complexity, application=application)
                        row = []
                        for packets in (read(out), packets_of(pcm, rate, **controls)):
                            decoder = Decoder(rate)
                            decoded = np.concatenate([decoder.decode(packet) for packet in packets])
                            kept, other, lag = aligned(pcm, decoded, 500)
                            size = sum(map(len, packets)) * 8 / (len(packets) * 0.02) / 1_000
                            row.append(f"{snr(kept, other):.1f} dB, {distance(kept, other, rate):.2f} dB apart, {size:.0f} kbit/s, {lag / rate * 1e3:.1f} ms")
                        print(f"encode {rate} {mode} {bitrate}, complexity {complexity}: {row[0]}; libopus {row[1]}")


def fnv(pcm):
    """FNV-1a of the samples' bytes, little-endian."""
    value = 0xCBF29CE484222325
    for byte in np.asarray(pcm, "<i2").tobytes():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def packets(path, folder):
    """Writes the packets of the tests, libopus's decoding of those that cannot be compared exactly, and prints the rest of it as hashes."""
    source = speech(path, 48_000)[24_000:]
    print(OPUS.opus_get_version_string().decode())

    def stream(name, pcm, size=960, **controls):
        encoder = Encoder(48_000, **controls)
        channels = controls.get("channels", 1)
        made = [encoder.encode(np.ascontiguousarray(block)) for block in blocks(pcm, size * channels)]
        return name, made

    def keep(name, made):
        write(os.path.join(folder, name + ".opus-packets"), made)

    def decoded(made, rate, channels=1):
        decoder = Decoder(rate, channels)
        return np.concatenate([decoder.decode(packet) for packet in made])

    second = source[:48_000]
    name, made = stream("silk", source[:96_000], bitrate=24_000, inband_fec=1, loss=20)
    keep(name, made)
    for rate in (16_000, 24_000, 48_000):
        # Near the end a frame is hybrid, where the last bit may differ.
        print(f"{name} at {rate}, its first 1.5 s: {fnv(decoded(made, rate)[: rate * 3 // 2]):#018x}")
    decoder, parts, spare = Decoder(16_000), [], 0
    for nth, packet in enumerate(made):
        if nth % 7 != 3:
            parts.append(decoder.decode(packet))
        elif has_spare(made[nth + 1]):
            parts.append(decoder.decode(made[nth + 1], 320, 1))
            spare += 1
        else:
            parts.append(decoder.decode(None, 320))
    print(f"{name} at 16000, every seventh lost, {spare} of them rebuilt: {fnv(np.concatenate(parts)):#018x}")
    name, made = stream("silk-10ms", second, 480, bitrate=20_000)
    keep(name, made)
    print(f"{name} at 16000: {fnv(decoded(made, 16_000)):#018x}")
    for name, rate, controls in (
        ("hybrid", 24_000, dict(bitrate=32_000)),
        ("celt", 16_000, dict(bitrate=64_000, application=APPLICATION_LOWDELAY)),
    ):
        name, made = stream(name, second, **controls)
        keep(name, made)
        decoded(made, rate).astype("<i2").tofile(os.path.join(folder, f"{name}-{rate}.pcm"))
    left_and_right = np.stack([second, second // 4], 1).ravel()
    name, made = stream("stereo", left_and_right, channels=2, bitrate=64_000, application=APPLICATION_LOWDELAY)
    keep(name, made)
    decoded(made, 16_000, 2).astype("<i2").tofile(os.path.join(folder, "stereo-16000.pcm"))
    # A sender that pauses: speech, two seconds of faint noise, speech. Of packets without frames the first in a row is sent, as LiveKit's libraries do.
    noise = np.random.default_rng(5).normal(0, 20, 96_000).astype(np.int16)
    pcm = np.concatenate([source[:48_000], noise, source[48_000:72_000]])
    name, made = stream("pause", pcm, bitrate=24_000, dtx=1)
    sent, quiet = [], False
    for packet in made:
        empty = len(packet) <= 2
        sent.append(b"" if empty and quiet else packet)
        quiet = empty
    keep(name, sent)
    print(f"{name}: {sum(map(bool, sent))} of {len(sent)} are sent")


def changes(program, path, rounds=30):
    """Decoding of streams whose bit rate, bandwidth and channels change all the time, beside libopus: the worst tenth of a second of each."""
    mono = speech(path, 48_000)[: 20 * 48_000]
    pcm = np.stack([mono, np.roll(mono, 3_000) // 2], 1)
    with tempfile.TemporaryDirectory() as folder:
        file, out = os.path.join(folder, "packets"), os.path.join(folder, "out")
        for seed in range(int(rounds)):
            random = np.random.default_rng(seed)
            size = int(random.choice([480, 960, 960, 1_920, 2_880]))
            rate, channels = int(random.choice([16_000, 16_000, 24_000, 48_000])), int(random.integers(1, 3))
            application = int(random.choice([APPLICATION_VOIP, APPLICATION_VOIP, APPLICATION_AUDIO]))
            sent = int(random.integers(1, 3))
            encoder, packets = Encoder(48_000, sent, application), []
            source = pcm if sent == 2 else mono
            for nth, block in enumerate(blocks(np.ascontiguousarray(source).ravel(), size * sent)):
                if nth % 25 == 0:
                    encoder.control(
                        bitrate=int(random.choice([8_000, 12_000, 16_000, 24_000, 32_000, 64_000, 128_000])),
                        bandwidth=int(random.choice([-1000, -1000, 1101, 1102, 1103, 1104, 1105])),
                        channels=int(random.choice([-1000, -1000, 1, sent])),
                        inband_fec=int(random.integers(0, 2)),
                        loss=int(random.choice([0, 10, 30])),
                    )
                packets.append(encoder.encode(np.ascontiguousarray(block)))
            write(file, packets)
            subprocess.run([program, "decode", file, str(rate), out, str(size), str(channels)], check=True, capture_output=True)
            ours = np.fromfile(out, "<i2").astype(float)
            # Of stereo, libopus's decoder with one channel loses more of the source than the mean of its decoder with two.
            decoder = Decoder(rate, max(sent, channels))
            theirs = np.concatenate([decoder.decode(packet) for packet in packets]).astype(float)
            if channels < sent:
                theirs = theirs.reshape(-1, 2).mean(axis=1)
            assert len(ours) == len(theirs), (len(ours), len(theirs))
            # Against what is loud in the stream, so that silence does not count.
            signal = np.sqrt(np.mean(theirs**2))
            worst = [10 * np.log10(signal**2 / max(np.mean((a - b) ** 2), 1e-9)) for a, b in zip(blocks(theirs, rate * channels // 10), blocks(ours, rate * channels // 10))]
            at = int(np.argmin(worst))
            kinds = sorted({packet[0] >> 3 for packet in packets})
            bad = sum(value < 60 for value in worst)
            print(f"{seed}: {size / 48:.0f} ms, {sent} to {channels} channels at {rate}: worst {worst[at]:.0f} dB at {at / 10:.1f} s, {bad} of {len(worst)} below 60; modes {kinds}")


def has_spare(packet):
    """Whether the packet has a copy of the one before it (one frame of 10 or 20 ms)."""
    return packet[0] >> 3 < 16 and packet[1] >> 6 & 1 == 1


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

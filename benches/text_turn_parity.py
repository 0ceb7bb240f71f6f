"""The text model beside LiveKit's own plugin, on the same files: equal text, equal tokens, equal probabilities.

    cargo build --release --example text_turn_raw --features text-turn -p listenkit
    python benches/text_turn_parity.py target/release/examples/text_turn_raw

The plugin (livekit-plugins-turn-detector 1.8.9, unchanged) finds the generated model of core/tests/data/text_turn in a
Hugging Face cache that is laid out for it, and judges 200 conversations in 24 languages that this script draws. So does ours, on the
onnxruntime library of this Python. Chat models, the second contract, are held against the plugin's tokens and numpy's softmax.
`--record` writes a part of what the plugin said, for `cargo test`.

Needs livekit-agents==1.8.9 livekit-plugins-turn-detector==1.8.9 onnxruntime transformers.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "core/tests/data/text_turn"
sys.path.insert(0, str(DATA))

from sentences import SENTENCES  # noqa: E402

SEED = 20260
CONVERSATIONS = 200
# onnxruntime and onnxruntime, of one build, on the same numbers: what differs is the rounding of a float to a double and back.
TOLERANCE = 1e-5
RECORDED = DATA / "recorded.jsonl"
SPICE = ["👋🏽", "👨‍👩‍👧", "🇫🇷", "🙂", "​", "\u200d", "e\u0301", "ﬁ", "№ 5", "²", "㈱", "\u00a0", "\x1d", "\r\n", "\t", "…", "'", "’", "-", "—", "_", "@", "%", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\n", "|", "`"]


def assigned(rng):
    """A character that both sides' Unicode tables know: assigned in Unicode 14, which is Python 3.11's."""
    while True:
        c = chr(rng.choice([rng.randrange(0x20, 0x3000), rng.randrange(0x3000, 0x10000), rng.randrange(0x10000, 0x1F800)]))
        if unicodedata.category(c) not in ("Cn", "Cs", "Co"):
            return c


def sentence(rng, language):
    lines = [rng.choice(SENTENCES[language]) for _ in range(rng.choice([1, 1, 1, 1, 2]))]
    if rng.random() < 0.3:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(SPICE))
    if rng.random() < 0.15:
        lines.insert(rng.randrange(len(lines) + 1), "".join(assigned(rng) for _ in range(rng.randrange(1, 12))))
    return rng.choice([" ", " ", "  ", ""]).join(lines)


def conversation(rng, number):
    languages = list(SENTENCES)
    language = languages[number % len(languages)]
    messages = []
    role = rng.choice(["user", "assistant"])
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 3, 5, 9])):
        if rng.random() < 0.15:
            messages.append([rng.choice(["system", "tool"]), sentence(rng, language)])
        content = sentence(rng, rng.choice(languages) if rng.random() < 0.1 else language)
        content = rng.choice(["", "?!", "…", " ", "\n\t"]) if rng.random() < 0.12 else content
        messages.append([role, content])
        if rng.random() < 0.75:  # else two in a row
            role = "assistant" if role == "user" else "user"
    last = sentence(rng, language)
    if number % 10 == 3:  # more than 128 tokens in one turn
        last = " ".join(sentence(rng, language) for _ in range(30))
    if number % 25 == 7:
        last = rng.choice(["…", "?!", "。"])  # nothing is left of it
    messages.append(["assistant" if number % 40 == 11 else "user", last])
    return {"messages": messages, "language": "en"}


def conversations():
    rng = random.Random(SEED)
    return [conversation(rng, number) for number in range(CONVERSATIONS)]


def lay_out(cache):
    """A Hugging Face cache with both revisions of the repository that the plugin asks for."""
    from livekit.plugins.turn_detector.models import HG_MODEL, MODEL_REVISIONS

    repository = cache / ("models--" + HG_MODEL.replace("/", "--"))
    for name, folder in {"multilingual": "multilingual", "en": "english"}.items():
        revision = MODEL_REVISIONS[name]
        commit = {"multilingual": "1", "en": "2"}[name] * 40
        snapshot = repository / "snapshots" / commit
        shutil.copytree(DATA / folder, snapshot)
        (snapshot / "onnx").mkdir()
        shutil.copy(DATA / "probability.onnx", snapshot / "onnx" / "model_q8.onnx")
        # What the models were made from. Of "qwen2" transformers 5 makes a tokenizer of its own that normalises to NFC, which the
        # English one's file does not ask for.
        base = {"multilingual": "qwen2", "en": "llama"}[name]
        (snapshot / "config.json").write_text(json.dumps({"model_type": base}))
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / revision).write_text(commit)


class Spy:
    """The plugin's session, which tells what it was given."""

    def __init__(self, session):
        self.session, self.tokens = session, None

    def run(self, outputs, inputs):
        assert list(inputs) == ["input_ids"] and inputs["input_ids"].dtype == "int64", inputs
        self.tokens = inputs["input_ids"][0].tolist()
        return self.session.run(outputs, inputs)


class Causal(Spy):
    """In the place of the plugin's session: a chat model, and numpy's softmax at `<|im_end|>`."""

    def __init__(self, tokenizer):
        import onnxruntime

        super().__init__(onnxruntime.InferenceSession(DATA / "logits.onnx"))
        self.end = tokenizer.convert_tokens_to_ids("<|im_end|>")

    def run(self, outputs, inputs):
        import numpy as np

        ids = inputs["input_ids"]
        self.tokens = ids[0].tolist()
        positions = np.arange(ids.shape[1], dtype=np.int64)[None]
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": positions}
        (logits,) = self.session.run(["logits"], feeds)
        last = logits[0, -1].astype(np.float64)
        weights = np.exp(last - last.max())
        return [weights[self.end : self.end + 1] / weights.sum()]


class Executor:
    """Stands for LiveKit's inference process: runs the plugin's runner in this one."""

    def __init__(self, runner):
        self.runner, self.text, self.seconds = runner, None, 0.0

    async def do_inference(self, method, data):
        assert method == self.runner.INFERENCE_METHOD, method
        before = time.perf_counter()
        result = self.runner.run(data)
        self.seconds = time.perf_counter() - before
        self.text = json.loads(result)["input"]
        return result


def plugin(kind, cases):
    """What LiveKit's plugin says of each conversation."""
    from livekit.agents import LanguageCode, llm
    from livekit.plugins.turn_detector import base, english, multilingual

    runner_of, model_of, model_type = {
        "multilingual": (multilingual._EUORunnerMultilingual, multilingual.MultilingualModel, "multilingual"),
        "english": (english._EUORunnerEn, english.EnglishModel, "en"),
        # The second contract has no peer: the plugin's way to the tokens, without its normalisation.
        "causal": (multilingual._EUORunnerMultilingual, multilingual.MultilingualModel, "multilingual"),
    }[kind]
    runner = runner_of()
    runner.initialize()
    if kind == "causal":
        runner._normalize_text = lambda text: text
        runner._session = spy = Causal(runner._tokenizer)
    else:
        runner._session = spy = Spy(runner._session)
    executor = Executor(runner)
    model = model_of.__new__(model_of)
    base.EOUModelBase.__init__(model, model_type=model_type, inference_executor=executor)

    async def judge(case):
        context = llm.ChatContext.empty()
        for number, (role, content) in enumerate(case["messages"]):
            if role == "tool":
                call = {"call_id": str(number), "name": "look_up"}
                context.items.append(llm.FunctionCall(arguments="{}", **call))
                context.items.append(llm.FunctionCallOutput(output=content, is_error=False, **call))
            else:
                context.add_message(role=role, content=content)
        probability = await model.predict_end_of_turn(context)
        threshold = await model.unlikely_threshold(LanguageCode(case["language"]))
        said = {"text": executor.text, "tokens": spy.tokens, "probability": probability, "threshold": threshold}
        return said | {"seconds": executor.seconds}

    async def judge_all():
        return [await judge(case) for case in cases]

    return asyncio.run(judge_all())


def ours(program, library, kind, cases):
    folder = DATA / ("english" if kind == "english" else "multilingual")
    files = ["--onnx", DATA / ("logits.onnx" if kind == "causal" else "probability.onnx")]
    files += ["--tokenizer", folder / "tokenizer.json", "--languages", folder / "languages.json", "--format", kind, "--ort", library]
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([program, *map(str, files)], input=lines, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def library():
    import onnxruntime

    return next((pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", help="the example text_turn_raw; without it, only --record")
    parser.add_argument("--record", action="store_true", help=f"write {RECORDED.relative_to(ROOT)}")
    options = parser.parse_args()
    cache = pathlib.Path(tempfile.mkdtemp())
    os.environ |= {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    lay_out(cache)

    cases, failed = conversations(), False
    recorded = []
    for kind, every in [("multilingual", 3), ("english", 6), ("causal", 10)]:
        theirs = plugin(kind, cases)
        recorded += [{"format": kind, "messages": case["messages"], **said} for case, said in zip(cases, theirs)][::every]
        for line in recorded:
            line.pop("seconds", None)
        if not options.program:
            continue
        mine = ours(options.program, library(), kind, cases)
        wrong = {"text": [], "tokens": [], "probability": [], "threshold": []}
        worst = 0.0
        for number, (their, my) in enumerate(zip(theirs, mine, strict=True)):
            for key in ["text", "tokens"]:
                if their[key] != my[key]:
                    wrong[key].append(number)
            off = abs(their["probability"] - my["probability"])
            worst = max(worst, off)
            if not off <= TOLERANCE:
                wrong["probability"].append(number)
            if abs(their["threshold"] - my["threshold"]) > 1e-7:  # ours is a float of 32 bits
                wrong["threshold"].append(number)
        lengths = [len(their["tokens"]) for their in theirs]
        spread = sorted(their["probability"] for their in theirs)
        print(
            f"{kind}: {len(cases)} conversations, {min(lengths)} to {max(lengths)} tokens ({lengths.count(128)} cut to 128), "
            f"p from {spread[0]:.4f} to {spread[-1]:.4f}, worst difference {worst:.2e}"
        )
        micros = [statistics.median(said["seconds"] for said in side) * 1e6 for side in (theirs, mine)]
        print(f"  from conversation to probability, median of one call each: {micros[0]:.0f} us theirs, {micros[1]:.0f} us ours")
        for key, numbers in wrong.items():
            if numbers:
                failed = True
                print(f"  {key} differs in {len(numbers)}: {numbers[:10]}")
                print("    theirs", json.dumps(theirs[numbers[0]][key]))
                print("    ours  ", json.dumps(mine[numbers[0]][key]))
    if options.record:
        RECORDED.write_text("".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in recorded), encoding="utf-8")
        print(f"recorded {len(recorded)} conversations, {RECORDED.stat().st_size} bytes")
    shutil.rmtree(cache)
    sys.exit("text model: differs from LiveKit's plugin" if failed else 0)


if __name__ == "__main__":
    main()

"""Writes the models and tokenizers of the text turn tests: `python make.py`, or `python make.py --check` to compare.

The shapes are those of the real files, the contents are made up, and every byte comes from this script:

multilingual/  a Qwen-like tokenizer (byte-level BPE, NFC, `<|im_start|>role\\ncontent<|im_end|>\\n`) and languages.json
english/       a SmolLM-like tokenizer (byte-level BPE, single digits, `<|im_start|><|role|>content<|im_end|>`)
probability.onnx  `input_ids` int64 [1, T] -> `prob` f32 [1, T]: LiveKit's contract, the last element is the answer
logits.onnx       `input_ids`, `attention_mask`, `position_ids` -> `logits` f32 [1, T, V]: a causal chat model
past.onnx         with an input that nobody feeds, for the error

The models mix embeddings causally (a running sum of what each token says at its position), so every token of the input, and its
place, moves every later output. Needs numpy, onnx and tokenizers (0.23).
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from sentences import SENTENCES

HERE = pathlib.Path(__file__).parent
VOCABULARY = 480  # 256 bytes, 3 special tokens, the rest merges: small files, and most words take several tokens
WIDTH = 12  # of an embedding; 23 KB
SEED = 1812

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
)
ENGLISH = (
    "{% for message in messages %}{{ '<|im_start|><|' + message['role'] + '|>' + message['content'] + '<|im_end|>' }}{% endfor %}"
)
# Where Qwen2 splits text before BPE, as in its published tokenizer.json.
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Made up, of the size that LiveKit's are; one with a region, as the peer looks that up first.
LANGUAGES = {
    "en": 0.0289, "es": 0.0195, "fr": 0.0240, "de": 0.0047, "it": 0.0122, "pt": 0.0310, "pt-BR": 0.0333, "nl": 0.0101,
    "zh": 0.0052, "ja": 0.0063, "ko": 0.0071, "id": 0.0044, "tr": 0.0085, "ru": 0.0091, "hi": 0.0270,
}


def tokenizer(split, normalizer):
    made = Tokenizer(models.BPE())
    if normalizer:
        made.normalizer = normalizer
    made.pre_tokenizer = split
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    lines = [line for language in SENTENCES.values() for line in language]
    made.train_from_iterator(lines + [line.lower() for line in lines], trainer)
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    assert made.get_vocab_size() == VOCABULARY, made.get_vocab_size()
    return made


def files(name, made, template):
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": template,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 8192,
        "clean_up_tokenization_spaces": False,
    }
    yield f"{name}/tokenizer.json", made.to_str(pretty=False).encode() + b"\n"
    yield f"{name}/tokenizer_config.json", json.dumps(config, indent=1).encode() + b"\n"
    thresholds = {code: {"threshold": value} for code, value in LANGUAGES.items() if name != "english" or code == "en"}
    yield f"{name}/languages.json", json.dumps(thresholds, indent=1).encode() + b"\n"


def mixing(rng):
    """Weights and the first node of the running sum, in which a token's part turns with its position."""
    embedding = rng.normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
    turn = (0.7 + 0.5 * np.arange(WIDTH)).astype(np.float32)
    constants = [
        numpy_helper.from_array(embedding, "embedding"),
        numpy_helper.from_array(turn, "turn"),
        numpy_helper.from_array(np.array(1, np.int64), "time"),
        numpy_helper.from_array(np.array(0.22, np.float32), "scale"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
    ]
    return constants, [helper.make_node("Gather", ["embedding", "input_ids"], ["embedded"])]


def positions_from_ids():
    return [
        helper.make_node("Mul", ["input_ids", "zero"], ["none"]),
        helper.make_node("Add", ["none", "one"], ["ones"]),
        helper.make_node("CumSum", ["ones", "time"], ["places"]),
    ]


def turned(places):
    return [
        helper.make_node("Cast", [places], ["place"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["place", "last"], ["column"]),
        helper.make_node("Mul", ["column", "turn"], ["angle"]),
        helper.make_node("Cos", ["angle"], ["cosine"]),
        helper.make_node("Mul", ["embedded", "cosine"], ["part"]),
    ]


def summed(part):
    return [
        helper.make_node("CumSum", [part, "time"], ["sum"]),
        helper.make_node("Mul", ["sum", "scale"], ["scaled"]),
        helper.make_node("Tanh", ["scaled"], ["mixed"]),
    ]


def tokens(name):
    return helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])


def save(graph):
    # Opset 17 and IR 8: every library since ONNX Runtime 1.14 reads it.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="listenkit-tests")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def probability():
    rng = np.random.default_rng(SEED)
    constants, nodes = mixing(rng)
    constants += [
        numpy_helper.from_array(np.array(0, np.int64), "zero"),
        numpy_helper.from_array(np.array(1, np.int64), "one"),
        numpy_helper.from_array(rng.normal(size=(WIDTH, 1)).astype(np.float32), "head"),
    ]
    nodes += positions_from_ids() + turned("places") + summed("part")
    nodes += [
        helper.make_node("MatMul", ["mixed", "head"], ["score"]),
        helper.make_node("Squeeze", ["score", "last"], ["flat"]),
        helper.make_node("Sigmoid", ["flat"], ["prob"]),
    ]
    prob = helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["batch", "tokens"])
    return save(helper.make_graph(nodes, "probability", [tokens("input_ids")], [prob], constants))


def logits():
    rng = np.random.default_rng(SEED + 1)
    constants, nodes = mixing(rng)
    constants.append(numpy_helper.from_array(rng.normal(size=(WIDTH, VOCABULARY)).astype(np.float32) * 1.5, "head"))
    nodes += turned("position_ids")
    nodes += [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask_column"]),
        helper.make_node("Mul", ["part", "mask_column"], ["attended"]),
    ]
    nodes += summed("attended")
    nodes.append(helper.make_node("MatMul", ["mixed", "head"], ["logits"]))
    inputs = [tokens(name) for name in ["input_ids", "attention_mask", "position_ids"]]
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "tokens", VOCABULARY])
    return save(helper.make_graph(nodes, "logits", inputs, [out], constants))


def past():
    key = helper.make_tensor_value_info("past_key_values.0.key", TensorProto.FLOAT, ["batch", 1, "past", WIDTH])
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["past_key_values.0.key"], ["history"], keepdims=0),
        helper.make_node("Add", ["numbers", "history"], ["prob"]),
    ]
    out = helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["batch", "tokens"])
    return save(helper.make_graph(nodes, "past", [tokens("input_ids"), key], [out], []))


def everything():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    qwen = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated", invert=False), byte_level])
    smol = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    yield from files("multilingual", tokenizer(qwen, normalizers.NFC()), CHATML)
    yield from files("english", tokenizer(smol, None), ENGLISH)
    yield "probability.onnx", probability()
    yield "logits.onnx", logits()
    yield "past.onnx", past()


def main():
    check = "--check" in sys.argv[1:]
    wrong = []
    for name, content in everything():
        path = HERE / name
        if check:
            if not path.is_file() or path.read_bytes() != content:
                wrong.append(name)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            print(f"{len(content):8} {name}")
    if wrong:
        sys.exit(f"not what this script writes: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

"""What OpenAI's own client sends, and reads in answers: the oracle of tests/openai.rs. Usage: openai_requests.py BASE_URL"""

import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="sk-test-key", max_retries=0)
messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": 'Hi "you" 👋'}]
stream = client.chat.completions.create(
    model="test-model", messages=messages, stream=True, stream_options={"include_usage": True}
)
text, usage = "", None
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        text += chunk.choices[0].delta.content
    usage = chunk.usage or usage
print(text, usage.prompt_tokens, usage.completion_tokens, sep="|")

transcript = client.audio.transcriptions.create(
    file=("audio.wav", b"RIFF", "audio/wav"), model="whisper-1", language="pt", prompt="names", response_format="json", temperature=0
)
print(transcript.text)

speech = client.audio.speech.create(model="tts-1", voice="alloy", input="Say it.", response_format="pcm")
print(len(speech.content))

for status in range(3):
    try:
        client.audio.speech.create(model="tts-1", voice="alloy", input="x")
    except openai.APIStatusError as error:
        print(error.status_code, error.code)

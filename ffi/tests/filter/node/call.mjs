// Joins the call at LIVEKIT_URL with the filter at LISTENKIT_FILTER; prints the kind and second of each event.
import { AudioFilter, AudioStream, Room, RoomEvent } from '@livekit/rtc-node';
import koffi from 'koffi';

const path = process.env.LISTENKIT_FILTER;
new AudioFilter('listenkit', path);
const kit = koffi.load(path);
const find = kit.func('int32_t listenkit_audio_filter_find(uint32_t which, const char *value, _Out_ uint64_t *id)');
const poll = kit.func('int32_t listenkit_audio_filter_poll(uint64_t id, void *event)');
const LABEL = 2;

const room = new Room();
const track = new Promise((resolve) => room.on(RoomEvent.TrackSubscribed, resolve));
await room.connect(process.env.LIVEKIT_URL, 'not-a-real-token', { autoSubscribe: true });
const stream = new AudioStream(await track, {
  sampleRate: 16000,
  numChannels: 1,
  noiseCancellation: { moduleId: 'listenkit', options: { label: 'node' } },
});

const id = [0n];
const event = Buffer.alloc(512);
event.writeUInt32LE(event.length, 0); // struct_size
for await (const frame of stream) {
  if (frame.samplesPerChannel !== 160) throw new Error(`${frame.samplesPerChannel} samples`);
  if (find(LABEL, 'node', id) !== 0) continue;
  while (poll(id[0], event) === 0) {
    const seconds = Number(event.readBigUInt64LE(16)) / event.readUInt32LE(12);
    console.log('event', event.readUInt32LE(4), seconds);
  }
}

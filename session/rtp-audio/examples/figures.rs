//! What the codec costs, in seconds of CPU per minute of audio; `reference/libopus.py figures` runs it beside libopus.
//!
//! `decode PACKETS RATE [PCM TICKS CHANNELS]` reads packets (two bytes of length, little-endian, before each; 20 ms or TICKS each; of length 0: lost) and may write raw 16-bit PCM;
//! `encode PCM RATE COMPLEXITY BITRATE MODE [PACKETS]` goes the other way. `pause RATE` costs the silence of a sender that pauses.

use std::time::{Duration, Instant};
use std::{env, fs};

use listenkit_rtp_audio::{Receiver, ReceiverOptions, Sender, SenderOptions};

/// Of this thread; `None` where the system does not say.
fn cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize| -> Result<u32, Box<dyn std::error::Error>> {
        Ok(arguments.get(at).ok_or("a number is missing")?.parse()?)
    };
    let begun = Instant::now();
    let before = cpu().unwrap_or_default();
    let mut read = Duration::ZERO;
    let audio = match arguments.first().map(String::as_str) {
        Some("decode") => {
            let bytes = fs::read(&arguments[1])?;
            let mut rest = bytes.as_slice();
            let mut packets = Vec::new();
            while let [low, high, after @ ..] = rest {
                let (packet, after) =
                    after.split_at(usize::from(u16::from_le_bytes([*low, *high])));
                packets.push(packet);
                rest = after;
            }
            let mut receiver =
                Receiver::new(&ReceiverOptions::new(number(2)?, number(5).unwrap_or(1)))?;
            let ticks = number(4).unwrap_or(960);
            read = cpu().unwrap_or_default() - before;
            let mut out = Vec::new();
            for (nth, packet) in packets.iter().enumerate() {
                let now = begun + Duration::from_micros(u64::from(ticks) * 1_000 / 48) * nth as u32;
                if !packet.is_empty() {
                    receiver.push(nth as u64, nth as u32 * ticks, now, packet);
                }
                while let Some(block) = receiver.poll(now) {
                    out.extend(block.samples.iter().flat_map(|sample| sample.to_le_bytes()));
                }
            }
            if let Some(path) = arguments.get(3) {
                fs::write(path, &out)?;
            }
            packets.len() as f64 * f64::from(ticks) / 48_000.0
        }
        Some("encode") => {
            let bytes = fs::read(&arguments[1])?;
            let (pairs, _) = bytes.as_chunks::<2>();
            let pcm: Vec<i16> = pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
            let mut options = SenderOptions::new(number(2)?, 1);
            options.complexity = number(3)?;
            options.bitrate = number(4)?;
            options.low_delay = arguments.get(5).is_some_and(|mode| mode == "low-delay");
            let mut sender = Sender::new(&options)?;
            read = cpu().unwrap_or_default() - before;
            let mut out = Vec::new();
            for packet in pcm.chunks_exact(sender.packet_samples()) {
                let payload = sender.encode(packet)?;
                out.extend((payload.len() as u16).to_le_bytes());
                out.extend(payload);
            }
            if let Some(path) = arguments.get(6) {
                fs::write(path, &out)?;
            }
            pcm.len() as f64 / f64::from(options.sample_rate)
        }
        Some("pause") => {
            let mut receiver = Receiver::new(&ReceiverOptions::new(number(1)?, 1))?;
            receiver.push(0, 0, begun, &[0x78; 60]);
            let mut now = begun;
            let mut sequence = 1;
            while now < begun + Duration::from_secs(60) {
                // What an encoder in a pause sends: a packet of background and one without frames, every 400 ms.
                if (now - begun).as_millis().is_multiple_of(400) {
                    let time = (now - begun).as_millis() as u32 * 48;
                    receiver.push(sequence, time + 960, now, &[0x78; 30]);
                    receiver.push(sequence + 1, time + 1_920, now, &[0x78]);
                    sequence += 2;
                }
                while receiver.poll(now).is_some() {}
                now += Duration::from_millis(20);
            }
            60.0
        }
        _ => return Err("give decode, encode or pause".into()),
    };
    let used = cpu().map_or_else(|| begun.elapsed(), |now| now - before) - read;
    println!("{:.4}", used.as_secs_f64() * 60.0 / audio);
    Ok(())
}

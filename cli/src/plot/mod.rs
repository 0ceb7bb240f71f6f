//! The picture of a recording: waveform, speech, probability and turn ends on one time axis.

mod envelope;
mod png;
mod scene;
mod svg;
mod trade_off;

use std::path::Path;

pub use envelope::Envelope;
use scene::{Anchor, Color, Scene, Weight, text_width};
pub use trade_off::{Curve, Mark, TradeOff};

use crate::failure::Failure;

/// Everything a plot shows. Times are in seconds from the start of the recording.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// File name.
    pub title: String,
    /// Format, length and counts.
    pub subtitle: String,
    /// Length of the recording.
    pub duration: f64,
    /// Mono waveform, at `rate`.
    pub waveform: Envelope,
    /// Samples per second of the waveform.
    pub rate: f64,
    /// Speech probability of each window.
    pub windows: Vec<Window>,
    /// Probability at which speech begins.
    pub activation: f32,
    /// Probability at which speech ends.
    pub deactivation: f32,
    /// From this probability on a turn counts as finished for the turn model.
    pub turn_threshold: f32,
    /// Speech, from its first to its last voiced sample.
    pub speech: Vec<Span>,
    /// Ends of turns.
    pub turns: Vec<Turn>,
    /// What the turn model said.
    pub predictions: Vec<Prediction>,
    /// Missing audio.
    pub gaps: Vec<Span>,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// From.
    pub start: f64,
    /// To.
    pub end: f64,
}

/// One window of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// From.
    pub start: f64,
    /// To.
    pub end: f64,
    /// Speech probability.
    pub probability: f32,
}

/// One answer of the turn model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// When it came.
    pub at: f64,
    /// That the turn is complete.
    pub probability: f32,
    /// What it, with all other votes, means.
    pub finished: bool,
}

/// The end of a turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Number of the turn.
    pub number: u64,
    /// The last voiced sample.
    pub last_voiced: f64,
    /// When it was decided.
    pub decided_at: f64,
    /// What it waited for, and why it ended.
    pub why: String,
}

/// What kind of file to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Vector.
    Svg,
    /// Pixels.
    Png,
}

impl Picture {
    /// By the extension of the file.
    ///
    /// # Errors
    /// [`Failure::Usage`] if it is neither `.svg` nor `.png`.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => Err(Failure::usage(format!(
                "--plot {}: the name must end in .svg or .png",
                path.display()
            ))),
        }
    }
}

impl Figure {
    /// The finished file.
    pub fn render(&self, picture: Picture) -> Vec<u8> {
        let scene = self.scene();
        match picture {
            Picture::Svg => svg::render(&scene).into_bytes(),
            // Two pixels to the unit: sharp on dense screens and when a page scales it down.
            Picture::Png => png::render(&scene, 2.0),
        }
    }
}

// Sizes in SVG units.
const WIDTH: f32 = 1400.0;
const HEIGHT: f32 = 560.0;
const LEFT: f32 = 72.0;
const RIGHT: f32 = WIDTH - 28.0;
const TITLE_Y: f32 = 38.0;
/// Labels of turn ends, in up to two rows.
const LABELS_TOP: f32 = 84.0;
const LABEL_ROW: f32 = 20.0;
const WAVE_TOP: f32 = 132.0;
const WAVE_BOTTOM: f32 = 342.0;
const PROBABILITY_TOP: f32 = 370.0;
const PROBABILITY_BOTTOM: f32 = 494.0;
const TICK_TEXT: f32 = 13.0;
const LABEL_TEXT: f32 = 13.0;
/// With less room than this for each end of turn, its label is the number alone.
const ROOMY: f32 = 110.0;
/// With less than this, ends of turns are ticks without labels.
const CROWDED: f32 = 24.0;

// A restrained palette: grey for what is not speech, one blue for speech, one orange for decisions.
const PAPER: Color = Color::rgb(0x00ff_ffff);
const PANEL: Color = Color::rgb(0x00f7_f8fa);
const GRID: Color = Color::rgb(0x00e4_e7ec);
const INK: Color = Color::rgb(0x001f_2933);
const MUTED: Color = Color::rgb(0x006b_7785);
const QUIET: Color = Color::rgb(0x00b4_bcc8);
const SPEECH: Color = Color::rgb(0x002f_6db5);
const BAND: Color = Color::rgb(0x00d6_e6f7);
const TURN: Color = Color::rgb(0x00c6_5a11);
const CURVE: Color = Color::rgb(0x002a_7f78);
const GAP: Color = Color::rgb(0x009a_3b52);

impl Figure {
    fn scene(&self) -> Scene {
        let mut scene = Scene {
            width: WIDTH,
            height: HEIGHT,
            background: PAPER,
            title: format!("{}: {}", self.title, self.subtitle),
            shapes: Vec::new(),
        };
        self.panels(&mut scene);
        self.header(&mut scene);
        self.waveform(&mut scene);
        self.probability(&mut scene);
        self.turn_ends(&mut scene);
        scene
    }

    /// Seconds to pixels.
    fn x(&self, seconds: f64) -> f32 {
        let share = (seconds / self.duration.max(1e-3)).clamp(0.0, 1.0) as f32;
        LEFT + share * (RIGHT - LEFT)
    }

    fn header(&self, scene: &mut Scene) {
        let space = RIGHT
            - LEFT
            - if self.predictions.is_empty() {
                470.0
            } else {
                680.0
            };
        let title = shortened(&self.title, 20.0, Weight::Bold, space);
        scene.text(
            (LEFT, TITLE_Y),
            Anchor::Start,
            20.0,
            Weight::Bold,
            INK,
            title,
        );
        scene.text(
            (LEFT, TITLE_Y + 22.0),
            Anchor::Start,
            14.0,
            Weight::Regular,
            MUTED,
            self.subtitle.clone(),
        );

        // The legend, from the right.
        let mut x = RIGHT;
        let y = TITLE_Y - 5.0;
        let entry = |scene: &mut Scene, x: &mut f32, name: &str, draw: &dyn Fn(&mut Scene, f32)| {
            *x -= text_width(name, 13.0, Weight::Regular);
            scene.text(
                (*x, y + 4.5),
                Anchor::Start,
                13.0,
                Weight::Regular,
                INK,
                name,
            );
            *x -= 24.0 + 6.0;
            draw(scene, *x);
            *x -= 20.0;
        };
        if !self.gaps.is_empty() {
            entry(scene, &mut x, "missing audio", &|scene, x| {
                scene.rect(x, y - 7.0, 24.0, 14.0, 2.0, GAP.with_alpha(0.25));
            });
        }
        entry(scene, &mut x, "end of turn", &|scene, x| {
            scene.line((x + 12.0, y - 8.0), (x + 12.0, y + 8.0), TURN, 2.0);
            marker(scene, x + 12.0, y - 6.0);
        });
        entry(scene, &mut x, "waiting", &|scene, x| {
            scene.rect(x, y - 7.0, 24.0, 14.0, 0.0, TURN.with_alpha(0.16));
        });
        if !self.predictions.is_empty() {
            entry(
                scene,
                &mut x,
                &format!("turn model: finished, or not ({})", self.turn_threshold),
                &|scene, x| {
                    dot(scene, (x + 6.0, y), true);
                    dot(scene, (x + 20.0, y), false);
                },
            );
        }
        entry(scene, &mut x, "speech probability", &|scene, x| {
            scene.line((x, y), (x + 24.0, y), CURVE, 2.0);
        });
        entry(scene, &mut x, "speech", &|scene, x| {
            scene.rect(x, y - 7.0, 24.0, 14.0, 2.0, BAND);
            let middle = x + 12.0;
            for (dx, height) in [
                (-8.0, 2.0),
                (-4.0, 5.0),
                (0.0, 4.0),
                (4.0, 6.0),
                (8.0, 3.0_f32),
            ] {
                scene.line(
                    (middle + dx, y - height),
                    (middle + dx, y + height),
                    SPEECH,
                    1.6,
                );
            }
        });
    }

    /// Backgrounds, grids and the time axis.
    fn panels(&self, scene: &mut Scene) {
        for (top, bottom) in [
            (WAVE_TOP, WAVE_BOTTOM),
            (PROBABILITY_TOP, PROBABILITY_BOTTOM),
        ] {
            scene.rect(LEFT, top, RIGHT - LEFT, bottom - top, 0.0, PANEL);
        }
        let step = tick_step(self.duration, (RIGHT - LEFT) / 74.0);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let ticks = (self.duration / step + 1e-9).floor() as u64;
        for n in 0..=ticks {
            let seconds = n as f64 * step;
            let x = self.x(seconds);
            for (top, bottom) in [
                (WAVE_TOP, WAVE_BOTTOM),
                (PROBABILITY_TOP, PROBABILITY_BOTTOM),
            ] {
                scene.line((x, top), (x, bottom), GRID, 1.0);
            }
            scene.line(
                (x, PROBABILITY_BOTTOM),
                (x, PROBABILITY_BOTTOM + 5.0),
                MUTED,
                1.0,
            );
            let y = PROBABILITY_BOTTOM + 21.0;
            let label = clock(seconds, decimals, self.duration);
            scene.text(
                (x, y),
                Anchor::Middle,
                TICK_TEXT,
                Weight::Regular,
                MUTED,
                label,
            );
        }
        let unit = if self.duration >= 120.0 {
            "time (min:s)"
        } else {
            "time (s)"
        };
        let middle = f32::midpoint(LEFT, RIGHT);
        scene.text(
            (middle, PROBABILITY_BOTTOM + 43.0),
            Anchor::Middle,
            TICK_TEXT,
            Weight::Regular,
            MUTED,
            unit,
        );
        for span in &self.speech {
            let (from, to) = (self.x(span.start), self.x(span.end));
            let width = (to - from).max(1.0);
            scene.rect(from, WAVE_TOP, width, WAVE_BOTTOM - WAVE_TOP, 0.0, BAND);
            scene.rect(
                from,
                PROBABILITY_TOP,
                width,
                PROBABILITY_BOTTOM - PROBABILITY_TOP,
                0.0,
                BAND.with_alpha(0.65),
            );
        }
        for span in &self.gaps {
            let (from, to) = (self.x(span.start), self.x(span.end));
            let width = (to - from).max(1.0);
            scene.rect(
                from,
                WAVE_TOP,
                width,
                PROBABILITY_BOTTOM - WAVE_TOP,
                0.0,
                GAP.with_alpha(0.25),
            );
        }
        let crowded = self.turn_spacing() < CROWDED;
        for turn in self.turns.iter().filter(|_| !crowded) {
            let (from, to) = (self.x(turn.last_voiced), self.x(turn.decided_at));
            let width = (to - from).max(1.0);
            scene.rect(
                from,
                WAVE_TOP,
                width,
                WAVE_BOTTOM - WAVE_TOP,
                0.0,
                TURN.with_alpha(0.16),
            );
        }
    }

    fn waveform(&self, scene: &mut Scene) {
        let middle = f32::midpoint(WAVE_TOP, WAVE_BOTTOM);
        let half = (WAVE_BOTTOM - WAVE_TOP) / 2.0 - 8.0;
        let peak = self.waveform.peak();
        let gain = if peak > 0.0 { half / peak } else { 0.0 };
        scene.line((LEFT, middle), (RIGHT, middle), QUIET.with_alpha(0.6), 1.0);

        // One column per pixel, as a closed outline for each run of speech or of not speech.
        let columns = (RIGHT - LEFT) as usize;
        let per_column = self.duration / columns as f64;
        let mut run: Vec<(f32, f32, f32)> = Vec::new();
        let mut run_is_speech = false;
        let mut speech = self.speech.iter().peekable();
        for column in 0..=columns {
            let start = column as f64 * per_column;
            let middle_of = start + per_column / 2.0;
            while speech.next_if(|span| span.end <= middle_of).is_some() {}
            let is_speech = speech.peek().is_some_and(|span| span.start <= middle_of);
            let range = self
                .waveform
                .range(start * self.rate, (start + per_column) * self.rate);
            let x = LEFT + column as f32;
            let here = range.map(|(low, high)| (x, middle - high * gain, middle - low * gain));
            let turn_of_colour = is_speech != run_is_speech && !run.is_empty();
            if turn_of_colour || here.is_none() {
                // The column where the colour changes belongs to both, so that no hole is left.
                if let Some(here) = here {
                    run.push(here);
                }
                outline(scene, &run, run_is_speech);
                run.clear();
            }
            run_is_speech = is_speech;
            run.extend(here);
        }
        outline(scene, &run, run_is_speech);

        scene.text(
            (LEFT - 10.0, middle + 4.5),
            Anchor::End,
            TICK_TEXT,
            Weight::Regular,
            MUTED,
            "0",
        );
        if peak > 0.0 {
            let decibels = 20.0 * peak.log10();
            let y = WAVE_TOP + 8.0 + 4.5;
            scene.text(
                (LEFT - 10.0, y),
                Anchor::End,
                TICK_TEXT,
                Weight::Regular,
                MUTED,
                format!("{decibels:.1}").replace('-', "−"),
            );
            scene.text(
                (LEFT - 10.0, y + 15.0),
                Anchor::End,
                11.0,
                Weight::Regular,
                MUTED,
                "dBFS",
            );
        } else {
            scene.text(
                (f32::midpoint(LEFT, RIGHT), middle - 10.0),
                Anchor::Middle,
                14.0,
                Weight::Regular,
                MUTED,
                "digital silence",
            );
        }
        self.speech_labels(scene);
    }

    fn speech_labels(&self, scene: &mut Scene) {
        for span in &self.speech {
            let (from, to) = (self.x(span.start), self.x(span.end));
            let label = format!("{:.2} s", span.end - span.start);
            let width = text_width(&label, 12.0, Weight::Regular);
            if width + 8.0 <= to - from {
                let at = (f32::midpoint(from, to), WAVE_BOTTOM - 8.0);
                scene.rect(
                    at.0 - width / 2.0 - 4.0,
                    at.1 - 12.0,
                    width + 8.0,
                    16.0,
                    3.0,
                    BAND.with_alpha(0.85),
                );
                scene.text(at, Anchor::Middle, 12.0, Weight::Regular, SPEECH, label);
            }
        }
    }

    fn probability(&self, scene: &mut Scene) {
        let height = PROBABILITY_BOTTOM - PROBABILITY_TOP;
        let y = |p: f32| PROBABILITY_BOTTOM - p.clamp(0.0, 1.0) * height;
        let points = self.probability_points(y);
        if let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) {
            let mut area = points.clone();
            area.push((last.0, PROBABILITY_BOTTOM));
            area.push((first.0, PROBABILITY_BOTTOM));
            scene.polygon(area, CURVE.with_alpha(0.16));
        }
        for (name, threshold) in [("on", self.activation), ("off", self.deactivation)] {
            let y = y(threshold);
            scene.dashes((LEFT, y), (RIGHT, y), MUTED, 1.0, (5.0, 4.0));
            let text = format!("{name} {}", trim_float(threshold));
            scene.text(
                (LEFT - 10.0, y + 4.5),
                Anchor::End,
                TICK_TEXT,
                Weight::Regular,
                MUTED,
                text,
            );
        }
        scene.polyline(points, CURVE, 1.6);
        for prediction in &self.predictions {
            dot(
                scene,
                (self.x(prediction.at), y(prediction.probability)),
                prediction.finished,
            );
        }
        for (p, label) in [(0.0, "0"), (1.0, "1")] {
            let clear = [self.activation, self.deactivation]
                .iter()
                .all(|t| (y(*t) - y(p)).abs() > 13.0);
            if clear {
                scene.text(
                    (LEFT - 10.0, y(p) + 4.5),
                    Anchor::End,
                    TICK_TEXT,
                    Weight::Regular,
                    MUTED,
                    label,
                );
            }
        }
    }

    /// One point per window; where several windows share a pixel, their mean.
    fn probability_points(&self, y: impl Fn(f32) -> f32) -> Vec<(f32, f32)> {
        let columns = (RIGHT - LEFT) as usize;
        let middle = |w: &Window| self.x(f64::midpoint(w.start, w.end));
        if self.windows.len() <= columns * 2 {
            return self
                .windows
                .iter()
                .map(|w| (middle(w), y(w.probability)))
                .collect();
        }
        self.windows
            .chunk_by(|a, b| middle(a) as u32 == middle(b) as u32)
            .map(|group| {
                let sum: f32 = group.iter().map(|w| w.probability).sum();
                (middle(&group[0]), y(sum / group.len() as f32))
            })
            .collect()
    }

    /// Pixels from one end of turn to the next, on average.
    fn turn_spacing(&self) -> f32 {
        (RIGHT - LEFT) / self.turns.len().max(1) as f32
    }

    fn turn_ends(&self, scene: &mut Scene) {
        if self.turn_spacing() < CROWDED {
            // Ticks on the edge: full lines would hide everything else.
            for turn in &self.turns {
                let x = self.x(turn.decided_at);
                scene.line(
                    (x, WAVE_TOP - 10.0),
                    (x, WAVE_TOP - 2.0),
                    TURN.with_alpha(0.7),
                    1.0,
                );
            }
            return;
        }
        // Where each row of labels is taken up to. A label that fits nowhere is left out; its line stays.
        let mut taken = [LEFT; 2];
        for turn in &self.turns {
            let x = self.x(turn.decided_at);
            scene.line((x, WAVE_TOP - 4.0), (x, PROBABILITY_BOTTOM), TURN, 1.8);
            marker(scene, x, WAVE_TOP - 4.0);
            let delay = (turn.decided_at - turn.last_voiced) * 1000.0;
            let (bold, rest) = if self.turn_spacing() < ROOMY {
                (format!("{}", turn.number + 1), String::new())
            } else {
                (
                    format!("turn {}", turn.number + 1),
                    // Spaces that XML does not fold.
                    format!("\u{a0}\u{a0}+{delay:.0} ms · {}", turn.why),
                )
            };
            let bold_width = text_width(&bold, LABEL_TEXT, Weight::Bold);
            let width = bold_width + text_width(&rest, LABEL_TEXT, Weight::Regular);
            let left = (x - width / 2.0).clamp(LEFT, (RIGHT - width).max(LEFT));
            // The lower row first.
            let Some(row) = [1, 0].into_iter().find(|&row| taken[row] <= left) else {
                continue;
            };
            taken[row] = left + width + 16.0;
            let y = LABELS_TOP + LABEL_ROW * row as f32 + 12.0;
            if row == 0 {
                scene.line(
                    (x, y + 4.0),
                    (x, WAVE_TOP - 4.0),
                    TURN.with_alpha(0.45),
                    1.0,
                );
            }
            scene.label((left, y), LABEL_TEXT, TURN, &bold, &rest);
        }
    }
}

/// An answer of the turn model: full if it means "finished", a ring if not.
fn dot(scene: &mut Scene, (x, y): (f32, f32), finished: bool) {
    let circle = |radius: f32| -> Vec<(f32, f32)> {
        (0..16)
            .map(|k| {
                let (sin, cos) = (k as f32 * std::f32::consts::TAU / 16.0).sin_cos();
                (x + radius * cos, y + radius * sin)
            })
            .collect()
    };
    scene.polygon(circle(5.0), TURN);
    if !finished {
        scene.polygon(circle(3.2), PAPER);
    }
}

/// A small triangle that points down to `y`.
fn marker(scene: &mut Scene, x: f32, y: f32) {
    scene.polygon(
        vec![(x - 5.0, y - 6.0), (x + 5.0, y - 6.0), (x, y + 2.0)],
        TURN,
    );
}

fn outline(scene: &mut Scene, run: &[(f32, f32, f32)], is_speech: bool) {
    // At least a hairline, so that silence is drawn too.
    let upper = run
        .iter()
        .map(|&(x, high, low)| (x, high.min(f32::midpoint(high, low) - 0.5)));
    let lower = run
        .iter()
        .rev()
        .map(|&(x, high, low)| (x, low.max(f32::midpoint(high, low) + 0.5)));
    let fill = if is_speech { SPEECH } else { QUIET };
    scene.polygon(upper.chain(lower).collect(), fill);
}

/// The smallest of 1, 2, 5 x 10^n seconds (or of whole parts of minutes and hours) that gives at most `most` steps.
fn tick_step(duration: f64, most: f32) -> f64 {
    const STEPS: [f64; 20] = [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0,
        600.0, 900.0, 1800.0, 3600.0, 7200.0,
    ];
    STEPS
        .into_iter()
        .find(|step| duration / step <= f64::from(most))
        .unwrap_or_else(|| (duration / f64::from(most) / 3600.0).ceil() * 3600.0)
}

/// A time on the axis: seconds, or minutes and seconds (and hours) on long recordings.
fn clock(seconds: f64, decimals: usize, duration: f64) -> String {
    if duration < 120.0 {
        return format!("{seconds:.decimals$}");
    }
    let whole = seconds.round() as u64;
    if duration < 3600.0 {
        format!("{}:{:02}", whole / 60, whole % 60)
    } else {
        format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
    }
}

/// `value` with at most two decimals.
fn trim_float(value: f32) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// The end of `text` that fits: the end of a path says more than its beginning.
fn shortened(text: &str, size: f32, weight: Weight, space: f32) -> String {
    if text_width(text, size, weight) <= space {
        return text.into();
    }
    let chars: Vec<char> = text.chars().collect();
    (1..chars.len())
        .map(|from| format!("…{}", chars[from..].iter().collect::<String>()))
        .find(|short| text_width(short, size, weight) <= space)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(duration: f64) -> Figure {
        let mut waveform = Envelope::default();
        let samples = (duration * 1000.0) as u32;
        for n in 0..samples {
            waveform.push((n as f32 * 0.05).sin() * 0.3);
        }
        Figure {
            title: "a <strange> & \"name\".wav".into(),
            subtitle: "1 kHz".into(),
            duration,
            waveform,
            rate: 1000.0,
            windows: (0..(duration / 0.032) as u32)
                .map(|n| Window {
                    start: f64::from(n) * 0.032,
                    end: f64::from(n + 1) * 0.032,
                    probability: 0.9,
                })
                .collect(),
            activation: 0.5,
            deactivation: 0.35,
            turn_threshold: 0.5,
            speech: vec![Span {
                start: duration * 0.2,
                end: duration * 0.5,
            }],
            turns: vec![Turn {
                number: 0,
                last_voiced: duration * 0.5,
                decided_at: duration * 0.6,
                why: "min delay".into(),
            }],
            predictions: vec![
                Prediction {
                    at: 1.6,
                    probability: 0.9,
                    finished: true,
                },
                Prediction {
                    at: 2.0,
                    probability: 0.05,
                    finished: false,
                },
            ],
            gaps: Vec::new(),
        }
    }

    #[test]
    fn both_kinds_of_picture_come_out_whole_for_any_length() {
        for duration in [0.0, 0.001, 0.5, 12.0, 150.0, 7_300.0] {
            let figure = figure(duration);
            let svg = String::from_utf8(figure.render(Picture::Svg)).expect("text");
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{duration}");
            assert!(svg.contains("a &lt;strange&gt; &amp; &quot;name&quot;.wav"));
            // Bounded however long the recording is.
            assert!(svg.len() < 400_000, "{} bytes", svg.len());
            let png = figure.render(Picture::Png);
            assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
            assert_eq!(&png[png.len() - 8..png.len() - 4], b"IEND");
        }
    }

    #[test]
    fn the_axis_has_round_steps_that_fit() {
        for duration in [0.05, 0.7, 3.0, 12.3, 61.0, 119.0, 3_599.0, 86_400.0, 1e6] {
            let step = tick_step(duration, 14.0);
            assert!(duration / step <= 14.0, "{duration}: {step}");
        }
        assert_eq!(tick_step(12.3, 14.0), 1.0);
        assert_eq!(clock(3_725.0, 0, 7_200.0), "1:02:05");
        assert_eq!(clock(0.2, 1, 2.0), "0.2");
    }

    #[test]
    fn long_names_keep_their_end() {
        let short = shortened(
            &"x".repeat(300).replace("xxx", "dir"),
            20.0,
            Weight::Bold,
            200.0,
        );
        assert!(short.starts_with('…') && short.ends_with("dir"));
    }

    #[test]
    fn a_plot_is_svg_or_png() {
        assert_eq!(Picture::of(Path::new("a/B.SVG")).ok(), Some(Picture::Svg));
        assert_eq!(Picture::of(Path::new("x.png")).ok(), Some(Picture::Png));
        assert!(Picture::of(Path::new("x.jpg")).is_err());
        assert!(Picture::of(Path::new("png")).is_err());
    }
}

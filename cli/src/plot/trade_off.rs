//! The picture of a sweep: how many turns are cut off against how long the agent waits.

use super::scene::{Anchor, Color, Scene, Weight, text_width};
use super::{CURVE, GRID, INK, MUTED, PANEL, PAPER, Picture, QUIET, SPEECH, TURN, png, svg};

/// Frontiers and single policies over mean wait (seconds) and share of turns cut off.
#[derive(Clone, Debug, Default)]
pub struct TradeOff {
    /// What was measured.
    pub title: String,
    /// On what.
    pub subtitle: String,
    /// Frontiers, the plain one first.
    pub curves: Vec<Curve>,
    /// Named policies.
    pub marks: Vec<Mark>,
}

/// The best that one kind of policy can do.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// For the legend.
    pub name: String,
    /// (mean wait in seconds, share cut off), by growing wait.
    pub points: Vec<(f64, f64)>,
}

/// One policy.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    /// Written beside it.
    pub name: String,
    /// Mean wait in seconds.
    pub wait: f64,
    /// Share of turns cut off.
    pub cut_off: f64,
}

const WIDTH: f32 = 1000.0;
const HEIGHT: f32 = 640.0;
const LEFT: f32 = 84.0;
const RIGHT: f32 = WIDTH - 32.0;
const TOP: f32 = 96.0;
const BOTTOM: f32 = HEIGHT - 74.0;
const COLORS: [Color; 4] = [QUIET, CURVE, SPEECH, MUTED];

impl TradeOff {
    /// The finished file.
    pub fn render(&self, picture: Picture) -> Vec<u8> {
        let scene = self.scene();
        match picture {
            Picture::Svg => svg::render(&scene).into_bytes(),
            Picture::Png => png::render(&scene, 2.0),
        }
    }

    /// Up to where the axes go: a little beyond what is drawn.
    fn limits(&self) -> (f64, f64) {
        let points = self
            .curves
            .iter()
            .flat_map(|curve| curve.points.iter().copied());
        let marks = self.marks.iter().map(|mark| (mark.wait, mark.cut_off));
        let (wait, cut) = points
            .chain(marks)
            .fold((0.0_f64, 0.0_f64), |(x, y), (wait, cut)| {
                (x.max(wait), y.max(cut))
            });
        let up = |value: f64, step: f64| (value / step + 0.2).ceil() * step;
        (
            up(wait.clamp(0.4, 2.0), 0.2),
            up(cut.clamp(0.05, 0.95), 0.05).min(1.0),
        )
    }

    fn scene(&self) -> Scene {
        let mut scene = Scene {
            width: WIDTH,
            height: HEIGHT,
            background: PAPER,
            title: format!("{}: {}", self.title, self.subtitle),
            shapes: Vec::new(),
        };
        let (max_wait, max_cut) = self.limits();
        let x = |wait: f64| LEFT + (wait / max_wait).clamp(0.0, 1.0) as f32 * (RIGHT - LEFT);
        let y = |cut: f64| BOTTOM - (cut / max_cut).clamp(0.0, 1.0) as f32 * (BOTTOM - TOP);
        scene.text(
            (LEFT, 38.0),
            Anchor::Start,
            20.0,
            Weight::Bold,
            INK,
            self.title.clone(),
        );
        scene.text(
            (LEFT, 60.0),
            Anchor::Start,
            14.0,
            Weight::Regular,
            MUTED,
            self.subtitle.clone(),
        );
        axes(&mut scene, (max_wait, max_cut), &x, &y);
        for (curve, color) in self.curves.iter().zip(COLORS) {
            // A staircase: between two policies the earlier one is the best there is.
            let mut steps = Vec::new();
            for &(wait, cut) in curve.points.iter().filter(|point| point.0 <= max_wait) {
                if let Some(&(_, before)) = steps.last() {
                    steps.push((x(wait), before));
                }
                steps.push((x(wait), y(cut)));
            }
            if let Some(&(_, last)) = steps.last() {
                steps.push((RIGHT, last));
            }
            scene.polyline(steps, color, 2.4);
        }
        self.legend(&mut scene);
        let mut taken: Vec<(f32, f32, f32)> = Vec::new();
        for mark in self.marks.iter().filter(|mark| mark.wait <= max_wait) {
            let at = (x(mark.wait), y(mark.cut_off));
            diamond(&mut scene, at);
            let width = text_width(&mark.name, 13.0, Weight::Bold);
            let left = if at.0 + 10.0 + width > RIGHT {
                at.0 - 10.0 - width
            } else {
                at.0 + 10.0
            };
            // Above its mark, or below it where another name is.
            let free = |line: f32| {
                taken.iter().all(|&(from, to, other)| {
                    left > to || left + width < from || (line - other).abs() > 15.0
                })
            };
            let line = [at.1 - 7.0, at.1 + 17.0, at.1 - 23.0]
                .into_iter()
                .find(|&line| free(line))
                .unwrap_or(at.1 - 7.0);
            taken.push((left, left + width, line));
            scene.text(
                (left, line),
                Anchor::Start,
                13.0,
                Weight::Bold,
                TURN,
                mark.name.clone(),
            );
        }
        scene
    }

    fn legend(&self, scene: &mut Scene) {
        let mut y = TOP + 24.0;
        for (curve, color) in self.curves.iter().zip(COLORS) {
            let width = text_width(&curve.name, 14.0, Weight::Regular);
            let left = RIGHT - 16.0 - width;
            scene.line((left - 38.0, y - 5.0), (left - 8.0, y - 5.0), color, 2.4);
            scene.text(
                (left, y),
                Anchor::Start,
                14.0,
                Weight::Regular,
                INK,
                curve.name.clone(),
            );
            y += 22.0;
        }
        if !self.marks.is_empty() {
            let name = "presets";
            let left = RIGHT - 16.0 - text_width(name, 14.0, Weight::Regular);
            diamond(scene, (left - 23.0, y - 5.0));
            scene.text((left, y), Anchor::Start, 14.0, Weight::Regular, INK, name);
        }
    }
}

/// Marks one policy.
fn diamond(scene: &mut Scene, (x, y): (f32, f32)) {
    const D: f32 = 5.5;
    let corners = vec![(x - D, y), (x, y - D), (x + D, y), (x, y + D)];
    scene.polygon(corners, TURN);
}

fn axes(
    scene: &mut Scene,
    (max_wait, max_cut): (f64, f64),
    x: &dyn Fn(f64) -> f32,
    y: &dyn Fn(f64) -> f32,
) {
    scene.rect(LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP, 0.0, PANEL);
    let step = if max_cut > 0.3 { 0.1 } else { 0.05 };
    for n in 0..=(max_cut / step + 1e-9) as u32 {
        let cut = f64::from(n) * step;
        scene.line((LEFT, y(cut)), (RIGHT, y(cut)), GRID, 1.0);
        let label = format!("{:.0} %", cut * 100.0);
        scene.text(
            (LEFT - 10.0, y(cut) + 4.5),
            Anchor::End,
            13.0,
            Weight::Regular,
            MUTED,
            label,
        );
    }
    for n in 0..=(max_wait / 0.2 + 1e-9) as u32 {
        let wait = f64::from(n) * 0.2;
        scene.line((x(wait), TOP), (x(wait), BOTTOM), GRID, 1.0);
        let label = format!("{:.0}", wait * 1000.0);
        scene.text(
            (x(wait), BOTTOM + 20.0),
            Anchor::Middle,
            13.0,
            Weight::Regular,
            MUTED,
            label,
        );
    }
    let middle = f32::midpoint(LEFT, RIGHT);
    let text = "mean wait after the end of a turn (ms)";
    scene.text(
        (middle, BOTTOM + 46.0),
        Anchor::Middle,
        13.0,
        Weight::Regular,
        MUTED,
        text,
    );
    scene.text(
        (LEFT, TOP - 12.0),
        Anchor::Start,
        13.0,
        Weight::Regular,
        MUTED,
        "turns cut off",
    );
}

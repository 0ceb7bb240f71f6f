//! A scene as PNG, with the embedded font: no fonts of the system are needed.

use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash, Transform,
};
use ttf_parser::OutlineBuilder;

use super::scene::{Anchor, Color, Scene, Shape, Weight, text_width};

/// PNG bytes of the scene, `scale` pixels to one of its units.
pub(super) fn render(scene: &Scene, scale: f32) -> Vec<u8> {
    let (width, height) = ((scene.width * scale).ceil(), (scene.height * scale).ceil());
    let mut pixels =
        Pixmap::new(width as u32, height as u32).expect("a plot has a size that fits memory");
    pixels.fill(color(scene.background));
    let transform = Transform::from_scale(scale, scale);
    for shape in &scene.shapes {
        draw(&mut pixels, shape, transform);
    }
    pixels
        .encode_png()
        .expect("PNG of a finished picture can be encoded")
}

fn draw(pixels: &mut Pixmap, shape: &Shape, transform: Transform) {
    match shape {
        Shape::Rect {
            x,
            y,
            width,
            height,
            radius,
            fill,
        } => {
            let path = rounded_rect(*x, *y, *width, *height, *radius);
            fill_path(pixels, path, *fill, transform);
        }
        Shape::Line {
            from,
            to,
            stroke,
            width,
            dash,
        } => {
            let dash = dash.and_then(|(on, off)| StrokeDash::new(vec![on, off], 0.0));
            stroke_path(
                pixels,
                polyline(&[*from, *to], false),
                *stroke,
                *width,
                dash,
                transform,
            );
        }
        Shape::Polyline {
            points,
            stroke,
            width,
        } => stroke_path(
            pixels,
            polyline(points, false),
            *stroke,
            *width,
            None,
            transform,
        ),
        Shape::Polygon { points, fill } => {
            fill_path(pixels, polyline(points, true), *fill, transform);
        }
        Shape::Text {
            at,
            anchor,
            size,
            weight,
            fill,
            text,
            rest,
        } => {
            let width = text_width(text, *size, *weight);
            let left = match anchor {
                Anchor::Start => at.0,
                Anchor::Middle => at.0 - width / 2.0,
                Anchor::End => at.0 - width,
            };
            let path = glyphs(text, left, at.1, *size, *weight);
            fill_path(pixels, path, *fill, transform);
            let path = glyphs(rest, left + width, at.1, *size, Weight::Regular);
            fill_path(pixels, path, *fill, transform);
        }
    }
}

fn fill_path(pixels: &mut Pixmap, path: Option<Path>, fill: Color, transform: Transform) {
    if let Some(path) = path {
        pixels.fill_path(&path, &paint(fill), FillRule::Winding, transform, None);
    }
}

fn stroke_path(
    pixels: &mut Pixmap,
    path: Option<Path>,
    stroke: Color,
    width: f32,
    dash: Option<StrokeDash>,
    transform: Transform,
) {
    if let Some(path) = path {
        let style = Stroke {
            width,
            dash,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        pixels.stroke_path(&path, &paint(stroke), &style, transform, None);
    }
}

fn color(c: Color) -> tiny_skia::Color {
    let alpha = (c.alpha.clamp(0.0, 1.0) * 255.0).round() as u8;
    tiny_skia::Color::from_rgba8(c.r, c.g, c.b, alpha)
}

fn paint(c: Color) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(color(c));
    paint.anti_alias = true;
    paint
}

fn polyline(points: &[(f32, f32)], close: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (&(x, y), rest) = points.split_first()?;
    builder.move_to(x, y);
    for &(x, y) in rest {
        builder.line_to(x, y);
    }
    if close {
        builder.close();
    }
    builder.finish()
}

fn rounded_rect(x: f32, y: f32, width: f32, height: f32, radius: f32) -> Option<Path> {
    let r = radius.min(width / 2.0).min(height / 2.0).max(0.0);
    let (right, bottom) = (x + width, y + height);
    let mut builder = PathBuilder::new();
    builder.move_to(x + r, y);
    builder.line_to(right - r, y);
    builder.quad_to(right, y, right, y + r);
    builder.line_to(right, bottom - r);
    builder.quad_to(right, bottom, right - r, bottom);
    builder.line_to(x + r, bottom);
    builder.quad_to(x, bottom, x, bottom - r);
    builder.line_to(x, y + r);
    builder.quad_to(x, y, x + r, y);
    builder.close();
    builder.finish()
}

/// Outlines of `text` with its baseline at `y`.
fn glyphs(text: &str, left: f32, y: f32, size: f32, weight: Weight) -> Option<Path> {
    let face = weight.face();
    let scale = size / f32::from(face.units_per_em());
    let mut pen = Pen {
        builder: PathBuilder::new(),
        x: left,
        y,
        scale,
    };
    for c in text.chars() {
        let glyph = face.glyph_index(c).unwrap_or_default();
        face.outline_glyph(glyph, &mut pen);
        pen.x += f32::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale;
    }
    pen.builder.finish()
}

struct Pen {
    builder: PathBuilder,
    x: f32,
    y: f32,
    scale: f32,
}

impl Pen {
    /// Font units have y upwards.
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (x1, y1) = self.place(x1, y1);
        let (x, y) = self.place(x, y);
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (x1, y1) = self.place(x1, y1);
        let (x2, y2) = self.place(x2, y2);
        let (x, y) = self.place(x, y);
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}

//! What a plot is made of, before it becomes SVG or PNG.

use std::sync::OnceLock;

use ttf_parser::Face;

/// sRGB with opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Color {
    pub(super) r: u8,
    pub(super) g: u8,
    pub(super) b: u8,
    /// 0.0 clear to 1.0 solid.
    pub(super) alpha: f32,
}

impl Color {
    pub(super) const fn rgb(hex: u32) -> Self {
        let [_, r, g, b] = hex.to_be_bytes();
        Self {
            r,
            g,
            b,
            alpha: 1.0,
        }
    }

    pub(super) const fn with_alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// One shape; lengths in pixels, y downwards.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Rect {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        radius: f32,
        fill: Color,
    },
    Line {
        from: (f32, f32),
        to: (f32, f32),
        stroke: Color,
        width: f32,
        /// Lengths of dash and space, if it is not solid.
        dash: Option<(f32, f32)>,
    },
    Polyline {
        points: Vec<(f32, f32)>,
        stroke: Color,
        width: f32,
    },
    Polygon {
        points: Vec<(f32, f32)>,
        fill: Color,
    },
    Text {
        at: (f32, f32),
        anchor: Anchor,
        size: f32,
        weight: Weight,
        fill: Color,
        text: String,
        /// What follows `text` in regular weight.
        rest: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

impl Weight {
    /// The embedded font: DejaVu Sans Condensed, narrow enough for labels and complete enough for file names.
    pub(super) fn face(self) -> &'static Face<'static> {
        static REGULAR: OnceLock<Face<'static>> = OnceLock::new();
        static BOLD: OnceLock<Face<'static>> = OnceLock::new();
        let parse = |bytes| Face::parse(bytes, 0).expect("the embedded font is whole");
        match self {
            Self::Regular => REGULAR.get_or_init(|| parse(dejavu::sans_condensed::regular())),
            Self::Bold => BOLD.get_or_init(|| parse(dejavu::sans_condensed::bold())),
        }
    }
}

/// Shapes in drawing order, on a canvas of a given size.
pub(super) struct Scene {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) background: Color,
    /// What the picture shows, for readers that cannot see it.
    pub(super) title: String,
    pub(super) shapes: Vec<Shape>,
}

impl Scene {
    pub(super) fn rect(
        &mut self,
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        radius: f32,
        fill: Color,
    ) {
        self.shapes.push(Shape::Rect {
            x,
            y,
            width,
            height,
            radius,
            fill,
        });
    }

    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), stroke: Color, width: f32) {
        self.shapes.push(Shape::Line {
            from,
            to,
            stroke,
            width,
            dash: None,
        });
    }

    pub(super) fn dashes(
        &mut self,
        from: (f32, f32),
        to: (f32, f32),
        stroke: Color,
        width: f32,
        dash: (f32, f32),
    ) {
        self.shapes.push(Shape::Line {
            from,
            to,
            stroke,
            width,
            dash: Some(dash),
        });
    }

    pub(super) fn polyline(&mut self, points: Vec<(f32, f32)>, stroke: Color, width: f32) {
        if points.len() > 1 {
            self.shapes.push(Shape::Polyline {
                points,
                stroke,
                width,
            });
        }
    }

    pub(super) fn polygon(&mut self, points: Vec<(f32, f32)>, fill: Color) {
        if points.len() > 2 {
            self.shapes.push(Shape::Polygon { points, fill });
        }
    }

    pub(super) fn text(
        &mut self,
        at: (f32, f32),
        anchor: Anchor,
        size: f32,
        weight: Weight,
        fill: Color,
        text: impl Into<String>,
    ) {
        self.shapes.push(Shape::Text {
            at,
            anchor,
            size,
            weight,
            fill,
            text: text.into(),
            rest: String::new(),
        });
    }

    /// A bold word and a regular rest, from left to right.
    pub(super) fn label(&mut self, at: (f32, f32), size: f32, fill: Color, bold: &str, rest: &str) {
        self.shapes.push(Shape::Text {
            at,
            anchor: Anchor::Start,
            size,
            weight: Weight::Bold,
            fill,
            text: bold.into(),
            rest: rest.into(),
        });
    }
}

/// Width of `text` in pixels.
pub(super) fn text_width(text: &str, size: f32, weight: Weight) -> f32 {
    let face = weight.face();
    let scale = size / f32::from(face.units_per_em());
    text.chars()
        .map(|c| {
            let glyph = face.glyph_index(c).unwrap_or_default();
            f32::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale
        })
        .sum()
}

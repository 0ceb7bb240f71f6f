//! A scene as SVG: plain shapes and text elements, readable and small.

use std::fmt::Write as _;

use super::scene::{Anchor, Color, Scene, Shape, Weight, text_width};

/// First the font the widths were measured with, then what systems have.
const FONTS: &str = "'DejaVu Sans Condensed', 'DejaVu Sans', Verdana, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif";

pub(super) fn render(scene: &Scene) -> String {
    let mut out = String::new();
    let (width, height) = (scene.width, scene.height);
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"{FONTS}\">"
    );
    let _ = writeln!(out, "<title>{}</title>", escape(&scene.title));
    let _ = writeln!(
        out,
        "<rect width=\"100%\" height=\"100%\" {}/>",
        paint("fill", scene.background)
    );
    for shape in &scene.shapes {
        write_shape(&mut out, shape);
    }
    out.push_str("</svg>\n");
    out
}

fn write_shape(out: &mut String, shape: &Shape) {
    let _ = match shape {
        Shape::Rect {
            x,
            y,
            width,
            height,
            radius,
            fill,
        } => {
            let rounded = if *radius > 0.0 {
                format!(" rx=\"{}\"", number(*radius))
            } else {
                String::new()
            };
            writeln!(
                out,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{rounded} {}/>",
                number(*x),
                number(*y),
                number(*width),
                number(*height),
                paint("fill", *fill)
            )
        }
        Shape::Line {
            from,
            to,
            stroke,
            width,
            dash,
        } => {
            let dash = dash.map_or(String::new(), |(on, off)| {
                format!(" stroke-dasharray=\"{} {}\"", number(on), number(off))
            });
            writeln!(
                out,
                "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" {} stroke-width=\"{}\"{dash}/>",
                number(from.0),
                number(from.1),
                number(to.0),
                number(to.1),
                paint("stroke", *stroke),
                number(*width)
            )
        }
        Shape::Polyline {
            points,
            stroke,
            width,
        } => writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" {} stroke-width=\"{}\" stroke-linejoin=\"round\"/>",
            list(points),
            paint("stroke", *stroke),
            number(*width)
        ),
        Shape::Polygon { points, fill } => writeln!(
            out,
            "<polygon points=\"{}\" {}/>",
            list(points),
            paint("fill", *fill)
        ),
        Shape::Text {
            at,
            anchor,
            size,
            weight,
            fill,
            text,
            rest,
        } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let bold = weight;
            let weight = match weight {
                Weight::Regular => "",
                Weight::Bold => " font-weight=\"bold\"",
            };
            let content = if rest.is_empty() {
                escape(text)
            } else {
                // No second x: the rest begins where the bold part ends, whatever the font.
                format!(
                    "<tspan>{}</tspan><tspan font-weight=\"normal\">{}</tspan>",
                    escape(text),
                    escape(rest)
                )
            };
            writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" font-size=\"{}\"{anchor}{weight} {}{}>{content}</text>",
                number(at.0),
                number(at.1),
                number(*size),
                paint("fill", *fill),
                length(*size, &[(text, *bold), (rest, Weight::Regular)]),
            )
        }
    };
}

/// Makes another font take the room that was measured, so that neighbours do not overlap. Nothing for writing that
/// the measuring font does not have: its width is not known.
fn length(size: f32, parts: &[(&String, Weight)]) -> String {
    let known = |(text, weight): &(&String, Weight)| {
        text.chars().all(|c| weight.face().glyph_index(c).is_some())
    };
    let width: f32 = parts
        .iter()
        .map(|(text, weight)| text_width(text, size, *weight))
        .sum();
    // One letter has no neighbour to run into.
    let letters: usize = parts.iter().map(|(text, _)| text.chars().count()).sum();
    if letters < 2 || !parts.iter().all(known) {
        return String::new();
    }
    format!(
        " textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"",
        number(width)
    )
}

fn paint(attribute: &str, color: Color) -> String {
    let Color { r, g, b, alpha } = color;
    let opacity = if alpha < 1.0 {
        format!(" {attribute}-opacity=\"{}\"", number(alpha))
    } else {
        String::new()
    };
    format!("{attribute}=\"#{r:02x}{g:02x}{b:02x}\"{opacity}")
}

fn list(points: &[(f32, f32)]) -> String {
    let mut out = String::new();
    for (x, y) in points {
        if !out.is_empty() {
            out.push(' ');
        }
        let _ = write!(out, "{},{}", number(*x), number(*y));
    }
    out
}

/// Two decimals are finer than any screen; more would only make the file larger.
fn number(value: f32) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Control characters are not allowed in XML.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_cannot_break_out_of_the_markup() {
        assert_eq!(escape("a<b>&\"\u{1}"), "a&lt;b&gt;&amp;&quot;\u{fffd}");
    }

    #[test]
    fn a_label_is_one_text_of_the_measured_width() {
        let mut scene = Scene {
            width: 100.0,
            height: 50.0,
            background: Color::rgb(0),
            title: String::new(),
            shapes: Vec::new(),
        };
        let ink = Color::rgb(0x12_3456);
        scene.label((5.0, 9.0), 13.0, ink, "turn 1", "\u{a0}+500 ms");
        scene.text(
            (5.0, 9.0),
            Anchor::Start,
            13.0,
            Weight::Regular,
            ink,
            "通話.wav",
        );
        let svg = render(&scene);
        assert_eq!(svg.matches("<text ").count(), 2);
        assert!(svg.contains(
            "<tspan>turn 1</tspan><tspan font-weight=\"normal\">\u{a0}+500 ms</tspan></text>"
        ));
        let width = text_width("turn 1", 13.0, Weight::Bold)
            + text_width("\u{a0}+500 ms", 13.0, Weight::Regular);
        let attribute = format!("textLength=\"{}\"", number(width));
        assert!(svg.contains(&attribute), "{svg}");
        // The font cannot say how wide the second one is.
        assert_eq!(svg.matches("textLength").count(), 1);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(1.0), "1");
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(12.345_6), "12.35");
        assert_eq!(number(100.0), "100");
    }
}

//! Plots of a run, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::report::Row;

const SIZE: (u32, u32) = (900, 520);
const FONT: (&str, u32) = ("sans-serif", 15);
const TITLE: (&str, u32) = ("sans-serif", 19);
/// Width of the names on the left of the bars, in pixels.
const NAMES: u32 = 350;
/// Width of the numbers on the right of the bars, in pixels.
const NUMBER: u32 = 60;
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x1b, 0x5e, 0xa8),
    RGBColor(0xc9, 0x4f, 0x1c),
    RGBColor(0x3d, 0x8b, 0x37),
    RGBColor(0x77, 0x4f, 0xa3),
];

/// A name, and points of number of prefixes and value.
type Series<'a> = (&'a str, Vec<(f64, f64)>);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Plots of values over numbers of prefixes: file, title, part, and rows.
const LINES: [(&str, &str, &str, &[&str]); 4] = [
    (
        "look-up.svg",
        "One look-up over the number of random /24, ns",
        "look-up",
        &[
            "inside, overlapped: trie",
            "inside, chained: trie",
            "anywhere, chained: trie",
            "inside, chained: two reads",
        ],
    ),
    (
        "look-up-lpm.svg",
        "The same by BPF_MAP_TYPE_LPM_TRIE, ns",
        "look-up",
        &[
            "inside, overlapped: LPM_TRIE",
            "inside, chained: LPM_TRIE",
            "anywhere, chained: LPM_TRIE",
        ],
    ),
    (
        "control.svg",
        "Control plane over the number of prefixes, s",
        "control",
        &[
            "check, whole process",
            "start until ready",
            "reload, one policy changed",
        ],
    ),
    (
        "memory.svg",
        "Memory over the number of prefixes, MiB",
        "control",
        &[
            "check, peak memory",
            "maps of the generation",
            "daemon, own memory",
        ],
    ),
];

/// Draws the measurements, each plot into a file of `folder`.
pub(crate) fn draw(rows: &[Row], folder: &Path) -> Result<()> {
    for (file, title, part, names) in LINES {
        lines(&folder.join(file), title, &series(rows, part, names))?;
    }
    for (part, title) in [
        ("drop", "Packets to blocked destinations, dropped, Mpps"),
        (
            "forward",
            "Packets to innocent destinations, forwarded, Mpps",
        ),
    ] {
        bars(
            &folder.join(format!("{part}.svg")),
            title,
            &rates(rows, part),
        )?;
    }
    Ok(())
}

/// The rows of one part whose sets end with a number of prefixes.
fn series<'a>(rows: &[Row], part: &str, names: &[&'a str]) -> Vec<Series<'a>> {
    let points = |name: &str| {
        let rows = rows.iter().filter(|row| row.error.is_none());
        let rows = rows.filter(|row| row.part == part && row.what == name);
        let points = rows.filter_map(|row| Some((prefixes(&row.set)?, row.median())));
        points.collect::<Vec<_>>()
    };
    let lines = names.iter().map(|name| (*name, points(name)));
    lines.filter(|(_, points)| !points.is_empty()).collect()
}

/// The number in a name like `random /24 (1000)`.
fn prefixes(set: &str) -> Option<f64> {
    let (name, number) = set.strip_suffix(')')?.rsplit_once(" (")?;
    let comparable = name == "random /24" || name == "whole tables";
    comparable.then(|| number.parse().ok()).flatten()
}

fn rates<'a>(rows: &'a [Row], part: &str) -> Vec<(&'a str, f64)> {
    let rows = rows.iter().filter(|row| row.error.is_none());
    let rows = rows.filter(|row| row.part == part && row.what == "rate");
    rows.map(|row| (row.set.as_str(), row.median())).collect()
}

fn lines(file: &Path, title: &str, lines: &[Series<'_>]) -> Result<()> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let Some(left) = points().map(|(x, _)| *x).reduce(f64::min) else {
        return Ok(());
    };
    let right = points().map(|(x, _)| *x).fold(left * 10.0, f64::max);
    let top = points().map(|(_, y)| *y).fold(0.0, f64::max) * 1.1;
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    let drawn = (|| {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, TITLE)
            .margin(15)
            .margin_right(45)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((left..right).log_scale(), 0.0..top)?;
        chart
            .configure_mesh()
            .label_style(FONT)
            .x_desc("prefixes, logarithmic")
            .x_label_formatter(&|prefixes| format!("{prefixes:.0}"))
            .draw()?;
        for ((name, points), colour) in lines.iter().zip(COLOURS) {
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)).point_size(4))?
                .label(*name)
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 2), (x + 18, y + 2)], colour.filled())
                });
        }
        chart
            .configure_series_labels()
            .label_font(FONT)
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        area.present()
    })();
    drawn.map_err(|error| anyhow!("{}: {error}", file.display()))
}

fn bars(file: &Path, title: &str, bars: &[(&str, f64)]) -> Result<()> {
    if bars.is_empty() {
        return Ok(());
    }
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    let drawn = (|| {
        area.fill(&WHITE)?;
        let body = area.titled(title, TITLE)?.margin(10, 10, 10, 10);
        draw_bars(&body, bars)?;
        area.present()
    })();
    drawn.map_err(|error| anyhow!("{}: {error}", file.display()))
}

#[expect(clippy::cast_possible_truncation, reason = "within the picture")]
fn draw_bars(
    body: &Area<'_>,
    bars: &[(&str, f64)],
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let (width, _) = body.dim_in_pixel();
    let room = f64::from(width.saturating_sub(NAMES + NUMBER));
    for (part, (name, value)) in body.split_evenly((bars.len(), 1)).iter().zip(bars) {
        let (_, height) = part.dim_in_pixel();
        let (left, middle) = (NAMES.cast_signed(), (height / 2).cast_signed());
        let end = left + (room * value / most) as i32;
        let bar = [(left, middle - 9), (end, middle + 9)];
        part.draw(&Text::new(*name, (0, middle - 8), FONT))?;
        part.draw(&Rectangle::new(bar, COLOURS[0].filled()))?;
        part.draw(&Text::new(
            format!("{value:.2}"),
            (end + 6, middle - 8),
            FONT,
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comparable_sets_are_on_a_line() {
        assert_eq!(prefixes("random /24 (1000)"), Some(1000.0));
        assert_eq!(prefixes("CN (5501)"), None);
        assert_eq!(prefixes("whole tables (732485), 1000 policies"), None);
    }
}

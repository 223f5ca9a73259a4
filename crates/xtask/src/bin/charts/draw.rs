//! One chart as SVG, readable on light and on dark pages.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;

const WIDTH: u32 = 860;
/// The plot with its axes; the legend is below it, in two columns.
const PLOT_HEIGHT: u32 = 480;
const LEGEND_ROW: i32 = 26;
const FONT: &str = "sans-serif";
/// Half the width of a mark: circles for what was measured here, triangles for the peer.
const MARK: i32 = 4;

/// Paper, ink and grid, which `DARK` replaces by their colours' names.
const PAPER: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(31, 35, 40);
const GRID: RGBColor = RGBColor(216, 222, 228);
/// Where the reader's page is dark, so is the picture.
const DARK: &str = "<style>@media (prefers-color-scheme: dark) {\
    rect[fill=\"#FFFFFF\"] { fill: #0d1117 } text { fill: #e6edf3 }\
    [stroke=\"#1F2328\"] { stroke: #8b949e } [stroke=\"#D8DEE4\"] { stroke: #30363d } }</style>";

/// Everything about a picture.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

#[derive(Clone)]
pub(crate) struct Axis {
    /// With the unit.
    title: &'static str,
    ticks: Vec<f64>,
    is_log: bool,
}

pub(crate) struct Series {
    name: &'static str,
    look: Look,
    points: Vec<(f64, f64)>,
    is_marked: bool,
}

/// Colours that are told apart on white and on black.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    First,
    Second,
    Third,
    Fourth,
    Peer,
    OtherPeer,
}

impl Axis {
    pub(crate) fn log(title: &'static str, ticks: &[f64]) -> Axis {
        Axis { title, ticks: ticks.to_vec(), is_log: true }
    }

    pub(crate) fn linear(title: &'static str, ticks: &[f64]) -> Axis {
        Axis { title, ticks: ticks.to_vec(), is_log: false }
    }

    /// Without the ticks that nothing reaches.
    fn cut(&self, values: impl Iterator<Item = f64>) -> Axis {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (value.min(low), value.max(high)));
        let first = self.ticks.iter().rposition(|tick| *tick <= low).unwrap_or(0);
        let last = self.ticks.iter().position(|tick| *tick >= high).unwrap_or(self.ticks.len() - 1);
        Axis { ticks: self.ticks[first..=last.max(first)].to_vec(), ..self.clone() }
    }

    fn place(&self, value: f64) -> f64 {
        if self.is_log { value.max(f64::MIN_POSITIVE).log10() } else { value }
    }

    /// The first place and the last: of the outer ticks, and a little more, lest marks are cut.
    fn ends(&self) -> (f64, f64) {
        let place = |tick: Option<&f64>| self.place(tick.copied().unwrap_or(1.0));
        let (low, high) = (place(self.ticks.first()), place(self.ticks.last()));
        let margin = (high - low) * 0.03;
        (low - margin, high + margin)
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (low, high) = self.ends();
        let share = (self.place(*value) - low) / (high - low);
        from + (f64::from(to - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        let value = |place: f64| if self.is_log { 10_f64.powf(place) } else { place };
        let (low, high) = self.ends();
        value(low)..value(high)
    }
}

impl Series {
    /// Few points: each has a mark.
    pub(crate) fn marked(name: &'static str, look: Look, points: Vec<(f64, f64)>) -> Series {
        Series { name, look, points, is_marked: true }
    }

    pub(crate) fn line(name: &'static str, look: Look, points: Vec<(f64, f64)>) -> Series {
        Series { name, look, points, is_marked: false }
    }
}

impl Look {
    fn colour(self) -> RGBColor {
        match self {
            Look::First => RGBColor(37, 116, 223),
            Look::Second => RGBColor(20, 150, 110),
            Look::Third => RGBColor(150, 95, 225),
            Look::Fourth => RGBColor(120, 130, 140),
            Look::Peer => RGBColor(226, 105, 26),
            Look::OtherPeer => RGBColor(205, 65, 95),
        }
    }

    fn is_peer(self) -> bool {
        matches!(self, Look::Peer | Look::OtherPeer)
    }
}

impl Chart {
    /// Whether something was measured that belongs here.
    pub(crate) fn is_worth_it(&self) -> bool {
        self.series.iter().any(|series| !series.look.is_peer() && !series.points.is_empty())
    }

    pub(crate) fn svg(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        self.draw(&mut text).map_err(|error| anyhow!("cannot draw: {error}"))?;
        let head = text.find('>').map_or(0, |at| at + 1);
        text.insert_str(head, &format!("\n<title>{}</title>\n{DARK}", self.title));
        Ok(text)
    }

    fn draw(&self, text: &mut String) -> Result<(), Box<dyn std::error::Error + '_>> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (x, y) = (self.x.cut(points().map(|point| point.0)), self.y.cut(points().map(|point| point.1)));
        let shown: Vec<&Series> = self.series.iter().filter(|series| !series.points.is_empty()).collect();
        let legend_height = (shown.len() as u32).div_ceil(2) * LEGEND_ROW as u32 + 16;
        let root = SVGBackend::with_string(text, (WIDTH, PLOT_HEIGHT + legend_height)).into_drawing_area();
        root.fill(&PAPER)?;
        let (plot, below) = root.split_vertically(PLOT_HEIGHT);
        let mut chart = ChartBuilder::on(&plot)
            .margin(16)
            .caption(&self.title, (FONT, 22).into_font().color(&INK))
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .x_desc(x.title)
            .y_desc(y.title)
            .x_label_formatter(&|value| number(*value))
            .y_label_formatter(&|value| number(*value))
            .axis_desc_style((FONT, 17).into_font().color(&INK))
            .label_style((FONT, 16).into_font().color(&INK))
            .draw()?;
        for series in &shown {
            let colour = series.look.colour();
            let points = series.points.iter().copied();
            if series.look.is_peer() {
                chart.draw_series(points.map(|point| TriangleMarker::new(point, MARK + 3, colour.filled())))?;
                continue;
            }
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(3)))?;
            if series.is_marked {
                chart.draw_series(points.map(|point| Circle::new(point, MARK, colour.filled())))?;
            }
        }
        legend(&below, &shown)?;
        root.present()?;
        Ok(())
    }
}

fn legend<'a>(area: &DrawingArea<SVGBackend<'a>, Shift>, shown: &[&Series]) -> DrawResult<'a> {
    for (series, place) in shown.iter().zip(0..) {
        let (left, y, colour) = (80 + place % 2 * 380, 12 + place / 2 * LEGEND_ROW, series.look.colour());
        if series.look.is_peer() {
            area.draw(&TriangleMarker::new((left + 14, y), MARK + 3, colour.filled()))?;
        } else {
            area.draw(&PathElement::new(vec![(left, y), (left + 28, y)], colour.stroke_width(3)))?;
            if series.is_marked {
                area.draw(&Circle::new((left + 14, y), MARK, colour.filled()))?;
            }
        }
        area.draw(&Text::new(series.name, (left + 38, y - 7), (FONT, 16).into_font().color(&INK)))?;
    }
    Ok(())
}

/// What drawing into text can fail with.
type DrawResult<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// `20,000`, `5`, `0.2`
pub(crate) fn number(value: f64) -> String {
    let rounded = (value * 1000.0).round() / 1000.0;
    if rounded < 1000.0 {
        return rounded.to_string();
    }
    let digits = (rounded.round() as u64).to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).unwrap_or("")).collect();
    groups.join(",")
}

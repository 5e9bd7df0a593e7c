//! The figures as a picture: a row per way to a cluster, a dot per measurement, a line at the median.

use std::path::Path;

use miette::miette;
use plotters::prelude::*;

use crate::{Figures, Way, median};

const SIZE: (u32, u32) = (900, 360);
const ROW: f64 = 1.0;

/// Writes it as SVG.
pub(crate) fn write(path: &Path, measured: &[(Way, Vec<Figures>)]) -> miette::Result<()> {
    let unplotted = |error: DrawingAreaErrorKind<_>| miette!("the plot {}: {error}", path.display());
    let longest = measured.iter().flat_map(|(_, figures)| figures).map(|figures| figures.seconds).fold(1.0, f64::max);
    let rows = measured.len() as f64;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(unplotted)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Seconds until a new pod with a new claim runs", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(190)
        .build_cartesian_2d(0.0..longest * 1.05, 0.0..rows)
        .map_err(unplotted)?;
    let name = |y: &f64| {
        let row = (rows - *y) as usize;
        let is_middle = (*y - y.floor() - ROW / 2.0).abs() < 1e-9;
        measured.get(row).filter(|_| is_middle).map_or_else(String::new, |(way, _)| way.name().to_owned())
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(measured.len() * 2 + 1)
        .y_label_formatter(&name)
        .x_desc("seconds")
        .draw()
        .map_err(unplotted)?;
    for (index, (_, figures)) in measured.iter().enumerate() {
        let y = rows - index as f64 - ROW / 2.0;
        let seconds: Vec<f64> = figures.iter().map(|figures| figures.seconds).collect();
        let middle = median(seconds.clone());
        chart.draw_series(seconds.iter().map(|x| Circle::new((*x, y), 4, BLUE.mix(0.5).filled()))).map_err(unplotted)?;
        chart.draw_series(LineSeries::new([(middle, y - 0.3), (middle, y + 0.3)], RED.stroke_width(2))).map_err(unplotted)?;
    }
    root.present().map_err(unplotted)
}

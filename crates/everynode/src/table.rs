//! Plain tables for terminals: columns as wide as their widest cell, three blanks between them.

/// Prints rows below a heading.
pub(crate) fn render(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heading: Vec<String> = heading.iter().map(ToString::to_string).collect();
    let lines = std::iter::once(&heading).chain(rows).map(|row| line(row, &widths));
    lines.collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}   "));
    let text: String = cells.collect();
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".into(), "ready".into()], vec!["longer".into(), "x".into()]];
        assert_eq!(super::render(&["NODE", "STATE"], &rows), "NODE     STATE\na        ready\nlonger   x\n");
    }
}

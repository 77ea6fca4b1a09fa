//! Columns as Go's tabwriter aligns them: cells end with a tab, the last cell of a line is nobody's business.
// upstream: text/tabwriter with minwidth 10, padding 3

/// Narrowest column.
const MIN_WIDTH: usize = 10;
/// Between columns.
const PADDING: usize = 3;

/// Align the cells of lines separated by newlines. A column ends at the first line that does not have it, as upstream.
pub(super) fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len().saturating_sub(1)]).collect();
    let most = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..most {
        let mut line = 0;
        while line < lines.len() {
            let block = lines[line..].iter().take_while(|cells| cells.len() > column + 1).count();
            let widest = lines[line..line + block].iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
            for cells in &mut widths[line..line + block] {
                cells[column] = (widest + PADDING).max(MIN_WIDTH);
            }
            line += block.max(1);
        }
    }
    let mut aligned = String::new();
    for (cells, widths) in lines.iter().zip(&widths) {
        for (at, cell) in cells.iter().enumerate() {
            aligned.push_str(cell);
            if let Some(width) = widths.get(at) {
                aligned.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        aligned.push('\n');
    }
    aligned
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(super::align("CONTAINER ID\tIMAGE\tNAMES\na\tb\tlong name\n"), "CONTAINER ID   IMAGE     NAMES\na              b         long name\n");
        assert_eq!(super::align(""), "");
    }
}

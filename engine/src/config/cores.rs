//! Lists of processor cores: `"0-3,6"`.

/// Cores in the order written, each once.
pub fn parse(text: &str) -> Result<Vec<usize>, String> {
    let mut cores = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<usize>(), last.trim().parse::<usize>()) else {
            return Err(format!("expected cores like \"0-3,6\", found \"{part}\""));
        };
        if first > last || last >= CORES_MAX {
            return Err(format!("expected cores from low to high below {CORES_MAX}, found \"{part}\""));
        }
        for core in first..=last {
            if cores.contains(&core) {
                return Err(format!("core {core} is named twice: each core has one worker"));
            }
            cores.push(core);
        }
    }
    Ok(cores)
}

/// What a processor set of the kernel's interface can name.
const CORES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn ranges_and_single_cores() {
        assert_eq!(parse("0-3,6").unwrap(), [0, 1, 2, 3, 6]);
        assert_eq!(parse(" 2 ").unwrap(), [2]);
        for wrong in ["", "a", "3-1", "1,1", "0-9999999", "1-"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

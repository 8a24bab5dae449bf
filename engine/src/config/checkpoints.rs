//! Where checkpoints of the records go.

use std::path::Path;
use std::time::Duration;

use control::bounds::{CHECKPOINT_INTERVAL_MS, CHECKPOINT_PLACES_MAX};
use control::records::seal::Place;
use control::records::seal::witness::Witness;

use super::file;
use super::place::ConfigError;
use super::read::Source;
use super::value::Milliseconds;

/// Bytes of a witness's CA file.
const CA_BYTES_MAX: usize = 1 << 20;

/// The longest time between two checkpoints.
const INTERVAL_MS_MAX: u32 = 3_600_000;

/// The places, and the time between two checkpoints.
pub fn read(source: &Source<'_>, records: &file::Records) -> Result<(Vec<Place>, Duration), ConfigError> {
    if let Some(over) = records.checkpoints.get(CHECKPOINT_PLACES_MAX) {
        let message = format!("expected at most {CHECKPOINT_PLACES_MAX} places for checkpoints, found more");
        return source.refuse(&over.span(), message, "one or two places that others look after are enough");
    }
    let mut places = Vec::new();
    for written in &records.checkpoints {
        let (text, ca) = match written.get_ref() {
            file::CheckpointPlace::Text(text) => (text, None),
            file::CheckpointPlace::Pinned(witness) => (&witness.url, witness.ca.as_deref()),
        };
        if ca.is_none() && !text.contains("://") {
            if text.is_empty() {
                let message = "expected a directory or a URL, found nothing".to_owned();
                return source.refuse(&written.span(), message, "name a directory on another machine's disk");
            }
            add(source, &mut places, Place::Directory(source.resolve(Path::new(text))), &written.span())?;
            continue;
        }
        let ca = ca.map(|ca| crate::files::read(&source.resolve(ca), CA_BYTES_MAX)).transpose();
        let hint = "write { url = \"https://…\", ca = \"FILE\" }, with the CA that signed the witness's certificate";
        let ca = ca.map_err(|fault| fault.to_string());
        let witness = ca.and_then(|ca| Witness::parse(text, ca.as_deref()).map_err(|error| error.to_string()));
        match witness {
            Ok(witness) => add(source, &mut places, Place::Witness(witness), &written.span())?,
            Err(message) => return source.refuse(&written.span(), message, hint),
        }
    }
    let interval = records.checkpoint_interval.as_ref();
    let default = u32::try_from(CHECKPOINT_INTERVAL_MS).map_or(Milliseconds(INTERVAL_MS_MAX), Milliseconds);
    let ms = source.duration(interval, Milliseconds(INTERVAL_MS_MAX), default)?;
    Ok((places, Duration::from_millis(u64::from(ms))))
}

/// Adds a place whose name is that of no other: metrics and messages tell them apart by it.
fn add(
    source: &Source<'_>,
    places: &mut Vec<Place>,
    place: Place,
    span: &std::ops::Range<usize>,
) -> Result<(), ConfigError> {
    let name = place.to_string();
    if places.iter().any(|other| other.to_string() == name) {
        let message = format!("expected places that are told apart, found two of the name {name}");
        return source.refuse(
            span,
            message,
            "a query is not shown, and may hold a secret: give each a path of its own",
        );
    }
    places.push(place);
    Ok(())
}

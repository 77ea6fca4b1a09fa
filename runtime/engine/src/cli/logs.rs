//! `docker logs`.

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use jiff::{SignedDuration, Timestamp};

use super::client::{ClientError, escape};
use super::{Context, Failure};

pub(super) async fn show(context: Context<'_>) -> Result<(), Failure> {
    let (flags, now) = (&context.flags, Timestamp::now());
    let mut query = "stdout=1&stderr=1".to_owned();
    for (flag, parameter) in [("follow", "follow"), ("timestamps", "timestamps"), ("details", "details")] {
        if flags.flag(flag) {
            query.push_str(&format!("&{parameter}=1"));
        }
    }
    for name in ["since", "until"] {
        if let Some(text) = flags.last(name) {
            let time = moment(text, now).ok_or_else(|| Failure::Message(format!("invalid value for {name:?}: failed to parse value as time or duration: {text:?}")))?;
            query.push_str(&format!("&{name}={}.{:09}", time.as_second(), time.subsec_nanosecond()));
        }
    }
    query.push_str(&format!("&tail={}", escape(flags.last("tail").unwrap_or("all"))));
    let response = context.client.send(Method::GET, &format!("/containers/{}/logs?{query}", escape(&flags.positional[0]))).await?;
    let framed = response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != "application/vnd.docker.raw-stream");
    let (mut body, mut pending) = (response.into_body(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ClientError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if !framed {
            context.out.write_all(&data)?;
            context.out.flush()?;
            continue;
        }
        pending.extend_from_slice(&data);
        while let Some((source, text)) = take_frame(&mut pending) {
            let target = if source == 2 { &mut *context.err } else { &mut *context.out };
            target.write_all(&text)?;
            target.flush()?;
        }
    }
    Ok(())
}

/// One frame, if it is there as a whole: one byte for the stream, three of nothing, four for the length, and the text.
fn take_frame(pending: &mut BytesMut) -> Option<(u8, BytesMut)> {
    let (source, length) = match pending.get(..8)? {
        [source, _, _, _, length @ ..] => (*source, u32::from_be_bytes(length.try_into().ok()?) as usize),
        _ => return None,
    };
    if pending.len() < 8 + length {
        return None;
    }
    let mut frame = pending.split_to(8 + length);
    Some((source, frame.split_off(8)))
}

/// A time, a date, seconds since 1970, or a duration that leads back from now (`1h30m`).
// upstream: api/types/time/timestamp.go, GetTimestamp
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        return time.to_zoned(jiff::tz::TimeZone::system()).ok().map(|zoned| zoned.timestamp());
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    now.checked_sub(duration(text)?).ok()
}

/// Go's durations.
fn duration(text: &str) -> Option<SignedDuration> {
    let (mut total, mut rest) = (SignedDuration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(SignedDuration::try_from_secs_f64(value * unit).ok()?)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_lead_back() {
        let now: Timestamp = "2024-05-01T12:00:00Z".parse().unwrap();
        let cases = [
            ("2024-05-01T10:00:00Z", Some("2024-05-01T10:00:00Z")),
            ("1h30m", Some("2024-05-01T10:30:00Z")),
            ("1.5s", Some("2024-05-01T11:59:58.5Z")),
            ("86400", Some("1970-01-02T00:00:00Z")),
            ("yesterday", None),
            ("", None),
            ("5", Some("1970-01-01T00:00:05Z")),
        ];
        for (text, expected) in cases {
            assert_eq!(moment(text, now).map(|time| time.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn frames_are_taken_whole() {
        let mut pending = BytesMut::from(&[1, 0, 0, 0, 0, 0, 0, 3, b'a', b'b'][..]);
        assert_eq!(take_frame(&mut pending), None);
        pending.extend_from_slice(b"c\x02");
        assert_eq!(take_frame(&mut pending), Some((1, BytesMut::from(&b"abc"[..]))));
        assert_eq!(take_frame(&mut pending), None);
    }
}

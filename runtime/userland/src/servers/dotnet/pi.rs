//! Pi to as many places as asked for, by Machin's formula: `pi = 16 atan(1/5) - 4 atan(1/239)`.
//!
//! The work grows with the square of the places, as a reader notices: that is what the cache in front of it is for.

use std::{sync::Arc, time::Instant};

use super::{
    Host,
    log::{self, Level},
};
use crate::{
    environment,
    servers::{Handler, Reply, Request, error_reply, escaped},
};

/// More would keep a processor busy for minutes.
const MOST_PLACES: usize = 200_000;
/// Digits of a limb, and what a limb counts to.
const LIMB_DIGITS: usize = 9;
const LIMB: u64 = 1_000_000_000;

/// `Pi.Web.dll [-m web|console|file] [-dp PLACES] [-o FILE]`
pub(super) fn pi(arguments: &[String]) -> i32 {
    let value = |names: [&str; 2]| {
        let at = arguments.iter().position(|word| names.iter().any(|name| word.trim_start_matches('-').eq_ignore_ascii_case(name)))?;
        arguments.get(at + 1).map(String::as_str)
    };
    let mode = value(["m", "mode"]).unwrap_or("console").to_ascii_lowercase();
    if mode == "web" {
        return web();
    }
    let places = match value(["dp", "decimalplaces"]).unwrap_or("20").parse() {
        Ok(places) if places <= MOST_PLACES => places,
        _ => return usage(),
    };
    match mode.as_str() {
        "console" => {
            println!("{}", digits(places));
            0
        }
        "file" => {
            let path = value(["o", "outputpath"]).unwrap_or("/pi.txt");
            match std::fs::write(path, digits(places)) {
                Ok(()) => {
                    println!("Wrote pi to: {places} dp; at: {path}");
                    0
                }
                Err(error) => {
                    eprintln!("Unhandled exception. System.IO.IOException: {path}: {}", crate::sys::reason(&error));
                    super::UNHANDLED
                }
            }
        }
        _ => usage(),
    }
}

fn usage() -> i32 {
    println!("usage: Pi.Web.dll [-m web|console|file] [-dp PLACES] [-o FILE]   (at most {MOST_PLACES} places)");
    0
}

fn web() -> i32 {
    println!("Running in web mode...");
    let host = match Host::start(&["appsettings.json"]) {
        Ok(host) => host,
        Err(status) => return status,
    };
    let shared = Arc::clone(&host);
    let handler: Arc<Handler> = Arc::new(move |request| {
        const REQUESTS: &str = "Microsoft.AspNetCore.Hosting.Diagnostics";
        let (settings, begun) = (shared.settings(), Instant::now());
        let url = format!("http://{}{}", request.header("host").unwrap_or("localhost"), request.target);
        log::write(&settings, Level::Debug, REQUESTS, 1, &format!("Request starting HTTP/1.1 {} {url}", request.method));
        let reply = reply(request);
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        log::write(&settings, Level::Debug, REQUESTS, 2, &format!("Request finished HTTP/1.1 {} {url} - {} - {took:.4}ms", request.method, reply.code()));
        reply
    });
    host.serve(handler)
}

fn reply(request: &Request) -> Reply {
    if !matches!(request.path().to_ascii_lowercase().as_str(), "/" | "/pi" | "/pi/index") {
        return Reply::new("404 Not Found", "text/plain", Vec::new());
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return error_reply("405 Method Not Allowed");
    }
    let places = match request.argument("dp").unwrap_or_else(|| "6".to_owned()).parse() {
        Ok(places) if places <= MOST_PLACES => places,
        _ => {
            let body = format!("dp is the number of decimal places: a whole number from 0 to {MOST_PLACES}\n");
            return Reply::new("400 Bad Request", "text/plain; charset=utf-8", body);
        }
    };
    let begun = Instant::now();
    let value = digits(places);
    let took = begun.elapsed().as_millis();
    Reply::page(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Pi.Web</title>\n    <style>body {{ font: 18px sans-serif; margin: 3em; }} .text-break {{ overflow-wrap: anywhere; }}</style>\n  </head>\n  <body>\n    <h1>Pi</h1>\n    <h3>To: {} d.p.</h3>\n    <h3>in: {} ms.</h3>\n    <h3>from: {}</h3>\n    <hr>\n    <p class=\"text-break\">{value}</p>\n  </body>\n</html>\n",
        grouped(places as u128),
        grouped(took),
        escaped(&environment::host_name()),
    ))
}

/// A number with commas between its thousands.
fn grouped(number: u128) -> String {
    let plain = number.to_string();
    let mut text = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Pi with `places` digits behind its point, cut off, not rounded.
fn digits(places: usize) -> String {
    // Two limbs more than shown take up the errors of all divisions.
    let limbs = places / LIMB_DIGITS + 4;
    let mut sum = vec![0; limbs];
    add_arctangent(&mut sum, 16, 5, false);
    add_arctangent(&mut sum, 4, 239, true);
    let mut text = sum[0].to_string();
    let fraction: String = sum[1..].iter().map(|limb| format!("{limb:09}")).collect();
    if places > 0 {
        text.push('.');
        text.push_str(&fraction[..places]);
    }
    text
}

/// Adds (or subtracts) `factor * atan(1/x)`, term by term: `factor/x - factor/(3 x^3) + factor/(5 x^5) - ...`
fn add_arctangent(sum: &mut [u64], factor: u64, x: u64, minus: bool) {
    let mut power = vec![0; sum.len()];
    power[0] = factor;
    divide(&mut power, x, 0);
    let mut term = vec![0; sum.len()];
    // Limbs before this one are 0 in what is left of the power.
    let mut first = 0;
    let mut odd = 1;
    let mut negative = minus;
    loop {
        while first < power.len() && power[first] == 0 {
            first += 1;
        }
        if first == power.len() {
            return;
        }
        term[first..].copy_from_slice(&power[first..]);
        divide(&mut term, odd, first);
        if negative { subtract(sum, &term, first) } else { add(sum, &term, first) }
        divide(&mut power, x * x, first);
        negative = !negative;
        odd += 2;
    }
}

fn divide(number: &mut [u64], divisor: u64, first: usize) {
    let mut rest = 0;
    for limb in &mut number[first..] {
        let value = rest * LIMB + *limb;
        *limb = value / divisor;
        rest = value % divisor;
    }
}

fn add(sum: &mut [u64], term: &[u64], first: usize) {
    let mut carry = 0;
    for index in (0..sum.len()).rev() {
        if index < first && carry == 0 {
            return;
        }
        let value = sum[index] + carry + if index < first { 0 } else { term[index] };
        carry = u64::from(value >= LIMB);
        sum[index] = value - carry * LIMB;
    }
}

fn subtract(sum: &mut [u64], term: &[u64], first: usize) {
    let mut borrow = 0;
    for index in (0..sum.len()).rev() {
        if index < first && borrow == 0 {
            return;
        }
        let taken = borrow + if index < first { 0 } else { term[index] };
        borrow = u64::from(sum[index] < taken);
        sum[index] = sum[index] + borrow * LIMB - taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::tests::request;

    #[test]
    fn digits_are_those_of_pi() {
        let cases = [(0, "3"), (1, "3.1"), (6, "3.141592"), (20, "3.14159265358979323846"), (50, "3.14159265358979323846264338327950288419716939937510")];
        for (places, wanted) in cases {
            assert_eq!(digits(places), wanted, "{places}");
        }
        // The six nines in a row from place 762 on, and places 991 to 1000.
        let thousand = digits(1000);
        assert_eq!(&thousand[2 + 761..2 + 767], "999999");
        assert!(thousand.ends_with("2164201989"));
    }

    #[test]
    fn pages_say_what_was_computed() {
        let asked = reply(&request("GET", "/?dp=1234", ""));
        let body = String::from_utf8(asked.body.bytes().unwrap().to_vec()).unwrap();
        assert!(body.contains("<h3>To: 1,234 d.p.</h3>") && body.contains(">3.14159265"), "{body}");
        for (target, status) in [("/?dp=-1", 400), ("/?dp=x", 400), ("/?dp=1000000", 400), ("/other", 404), ("/", 200)] {
            assert_eq!(reply(&request("GET", target, "")).code(), status, "{target}");
        }
    }
}

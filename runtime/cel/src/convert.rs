//! JSON in, JSON out, and the few functions Kubernetes adds.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{ExecutionError, Value as Cel};
use drydock_primitives::quantity::Quantity;
use serde_json::Value;

/// JSON to CEL. Whole numbers are `int`, so that `== 2` compares as an author expects.
pub(crate) fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => {
            let map: HashMap<Key, Cel> = fields.iter().map(|(name, field)| (Key::String(Arc::new(name.clone())), to_cel(field))).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

/// CEL to JSON; types JSON does not have are an error that names them.
pub(crate) fn to_json(value: &Cel) -> Result<Value, String> {
    Ok(match value {
        Cel::Null => Value::Null,
        Cel::Bool(flag) => Value::Bool(*flag),
        Cel::Int(number) => Value::from(*number),
        Cel::UInt(number) => Value::from(*number),
        Cel::Float(number) => Value::from(*number),
        Cel::String(text) => Value::String(text.to_string()),
        Cel::List(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Cel::Map(map) => {
            let mut fields = serde_json::Map::new();
            for (key, field) in map.map.iter() {
                fields.insert(key.to_string(), to_json(field)?);
            }
            Value::Object(fields)
        }
        other => return Err(format!("a {:?} is not a JSON value", other.type_of())),
    })
}

/// `quantity("250m")`: a Kubernetes quantity as a number that compares.
pub(crate) fn quantity(text: Arc<String>) -> Result<f64, ExecutionError> {
    text.parse::<Quantity>().map(|quantity| quantity.to_f64()).map_err(|error| ExecutionError::function_error("quantity", error))
}

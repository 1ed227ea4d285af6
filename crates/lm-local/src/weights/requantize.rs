//! Q4_1 weights written anew as Q8_0, which the engine reads about twice as fast on the CPU.
//!
//! llama.cpp has kernels for whole blocks of tokens for Q8_0 and none for Q4_1. Eight bits hold
//! what four bits hold with an error of at most 1/254 of a block's largest weight, a fraction of
//! the error Q4_1 made itself. The result depends on the source alone, to the bit.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::gguf::{Gguf, Q4_1, Q8_0, Tensor, parse};
use crate::Error;

const BLOCK: usize = 32;
const Q4_1_BYTES: usize = 20;
const Q8_0_BYTES: usize = 34;

/// Changes whenever the result does; part of the model's id and of the derived file's name.
pub(crate) const RECIPE: &str = "q8_0-v1";

/// Name of the rewritten file of the source with this checksum.
pub(crate) fn derived_name(sha256: &str) -> String {
    format!("{sha256}-{RECIPE}.gguf")
}

/// Writes `source` to `target` with its Q4_1 tensors as Q8_0, atomically. False, and nothing is
/// written, when there are no such tensors.
///
/// # Errors
///
/// [`Error::Io`]; [`Error::Truncated`] when the file ends before its tensors do.
pub(crate) fn requantize(source: &Path, target: &Path) -> Result<bool, Error> {
    let file = fs::read(source).map_err(Error::io("reading", source))?;
    let truncated = || Error::Truncated { path: source.to_owned() };
    let gguf = parse(&file).ok_or_else(truncated)?;
    if !gguf.tensors.iter().any(|tensor| tensor.kind == Q4_1) {
        return Ok(false);
    }
    let parts = convert(&gguf).ok_or_else(truncated)?;
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;
    let temporary = tempfile::Builder::new()
        .prefix(".incomplete-")
        .tempfile_in(folder)
        .map_err(Error::io("creating a file in", folder))?;
    let mut out = BufWriter::new(temporary);
    parts.iter().try_for_each(|part| out.write_all(part)).map_err(Error::io("writing", target))?;
    let temporary = out.into_inner().map_err(|error| Error::io("writing", target)(error.into_error()))?;
    temporary.as_file().sync_all().map_err(Error::io("writing", target))?;
    temporary.persist(target).map_err(|error| Error::io("renaming a file to", target)(error.error))?;
    Ok(true)
}

/// The new file in pieces: the head, the list of tensors, and each tensor's padded data.
fn convert(gguf: &Gguf<'_>) -> Option<Vec<Vec<u8>>> {
    let alignment = usize::try_from(gguf.alignment).ok()?;
    let mut list = gguf.head.to_vec();
    let mut data = Vec::new();
    let mut offset = 0;
    for tensor in &gguf.tensors {
        let mut bytes = if tensor.kind == Q4_1 {
            q4_1_to_q8_0(content(gguf, tensor)?)
        } else {
            content(gguf, tensor)?.to_vec()
        };
        list.extend((tensor.name.len() as u64).to_le_bytes());
        list.extend(tensor.name);
        list.extend(u32::try_from(tensor.shape.len()).ok()?.to_le_bytes());
        list.extend(tensor.shape.iter().flat_map(|size| size.to_le_bytes()));
        list.extend(if tensor.kind == Q4_1 { Q8_0 } else { tensor.kind }.to_le_bytes());
        list.extend((offset as u64).to_le_bytes());
        bytes.resize(bytes.len().checked_next_multiple_of(alignment)?, 0);
        offset += bytes.len();
        data.push(bytes);
    }
    list.resize(list.len().checked_next_multiple_of(alignment)?, 0);
    data.insert(0, list);
    Some(data)
}

/// The bytes of a tensor. Those of types other than Q4_1 reach to the next tensor or to the end,
/// so that no table of types is needed.
fn content<'data>(gguf: &Gguf<'data>, tensor: &Tensor<'_>) -> Option<&'data [u8]> {
    let start = usize::try_from(tensor.offset).ok()?;
    let end = if tensor.kind == Q4_1 {
        let blocks = usize::try_from(tensor.weights()?).ok()? / BLOCK;
        start.checked_add(blocks.checked_mul(Q4_1_BYTES)?)?
    } else {
        let next = gguf.tensors.iter().map(|other| other.offset).filter(|other| *other > tensor.offset).min();
        next.map_or(Some(gguf.data.len()), |next| usize::try_from(next).ok())?
    };
    gguf.data.get(start..end)
}

fn q4_1_to_q8_0(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / Q4_1_BYTES * Q8_0_BYTES);
    for block in bytes.chunks_exact(Q4_1_BYTES) {
        let [s0, s1, m0, m1, codes @ ..] = block else { continue };
        let scale = f16_to_f32(u16::from_le_bytes([*s0, *s1]));
        let minimum = f16_to_f32(u16::from_le_bytes([*m0, *m1]));
        let low = codes.iter().map(|code| code & 15);
        let high = codes.iter().map(|code| code >> 4);
        let weights: Vec<f32> = low.chain(high).map(|code| f32::from(code) * scale + minimum).collect();
        let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
        let step = largest / 127.0;
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        out.extend(f32_to_f16(step).to_le_bytes());
        out.extend(weights.iter().map(|weight| ((weight * inverse).round() as i8).to_le_bytes()[0]));
    }
    out
}

fn f16_to_f32(half: u16) -> f32 {
    let (sign, exponent, fraction) =
        (u32::from(half >> 15), u32::from(half >> 10) & 31, u32::from(half) & 1023);
    let magnitude = match exponent {
        0 => fraction as f32 / 16_777_216.0,
        31 => f32::from_bits(0x7f80_0000 | fraction << 13),
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

/// Rounds a number that is not negative to the nearest half, ties to even.
fn f32_to_f16(number: f32) -> u16 {
    const SMALLEST_NORMAL: f32 = 1.0 / 16_384.0;
    const TOO_LARGE: f32 = 65_520.0;
    if number < SMALLEST_NORMAL {
        return (number * 16_777_216.0).round_ties_even() as u16;
    }
    if number >= TOO_LARGE {
        return 0x7c00;
    }
    let bits = number.to_bits();
    let rounded = bits + 0x0fff + (bits >> 13 & 1);
    u16::try_from((rounded >> 13) - (112 << 10)).unwrap_or(0x7c00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_file_is_named_by_its_source_and_the_recipe() {
        assert_eq!(derived_name("ab"), "ab-q8_0-v1.gguf");
    }

    #[test]
    fn halves_survive_the_way_there_and_back() {
        for half in (0..0x7c00_u16).step_by(7).chain([1, 1023, 1024, 0x7bff]) {
            assert_eq!(f32_to_f16(f16_to_f32(half)), half);
        }
        assert_eq!(f16_to_f32(0xc000), -2.0);
        assert_eq!(f32_to_f16(1.0 + 1.0 / 2048.0), 0x3c00, "a tie goes to even");
    }

    #[test]
    fn a_block_keeps_its_weights_within_half_a_step() {
        let mut block = vec![];
        block.extend(0x3000_u16.to_le_bytes()); // 0.125
        block.extend(0xbc00_u16.to_le_bytes()); // -1
        block.extend((0..16_u8).map(|code| code | (15 - code) << 4));
        let out = q4_1_to_q8_0(&block);
        assert_eq!(out.len(), Q8_0_BYTES);
        let step = f16_to_f32(u16::from_le_bytes([out[0], out[1]]));
        for (index, code) in out[2..].iter().enumerate() {
            let original = if index < 16 { index as f32 } else { (31 - index) as f32 } * 0.125 - 1.0;
            let weight = f32::from(i8::from_le_bytes([*code])) * step;
            assert!((weight - original).abs() < step * 0.6, "{weight} for {original}");
        }
    }

    /// A file with one Q4_1 tensor of one block and one f32 tensor of two numbers.
    fn small(kind: u32) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend([2_u64, 1].into_iter().flat_map(u64::to_le_bytes));
        file.extend(1_u64.to_le_bytes());
        file.extend(b"k");
        file.extend(4_u32.to_le_bytes());
        file.extend(9_u32.to_le_bytes());
        for (name, size, kind, offset) in [(b"a", 32_u64, kind, 0_u64), (b"b", 2, 0, 32)] {
            file.extend(1_u64.to_le_bytes());
            file.extend(name);
            file.extend(1_u32.to_le_bytes());
            file.extend(size.to_le_bytes());
            file.extend(kind.to_le_bytes());
            file.extend(offset.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend([0x11; 20]);
        file.extend([0; 12]);
        file.extend([1.0_f32, 2.0].into_iter().flat_map(f32::to_le_bytes));
        file
    }

    fn check(file: &[u8]) -> (Result<bool, Error>, Option<Vec<u8>>) {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, target) = (folder.path().join("a.gguf"), folder.path().join("deep/b.gguf"));
        fs::write(&source, file).expect("written");
        (requantize(&source, &target), fs::read(&target).ok())
    }

    #[test]
    fn a_file_is_rewritten_with_its_other_tensors_as_they_were() {
        let (result, written) = check(&small(Q4_1));
        assert!(result.expect("rewritten"));
        let written = written.expect("a file");
        let gguf = parse(&written).expect("a GGUF file");
        assert_eq!(gguf.tensors.iter().map(|tensor| tensor.kind).collect::<Vec<_>>(), [Q8_0, 0]);
        assert_eq!(gguf.tensors[1].offset, 64);
        assert_eq!(gguf.data[64..72], [1.0_f32, 2.0].map(f32::to_le_bytes).concat()[..]);
    }

    #[test]
    fn other_files_are_left_alone_and_cut_off_ones_refused() {
        let (result, written) = check(&small(0));
        assert!(!result.expect("nothing to do") && written.is_none());
        let whole = small(Q4_1);
        for length in [4, 20, 40, 90, 140] {
            let (result, written) = check(&whole[..length]);
            assert!(matches!(result, Err(Error::Truncated { .. })) && written.is_none(), "{length}");
        }
    }
}

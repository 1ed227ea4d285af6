//! Just enough of the GGUF file format to find the tensors and write them anew.

/// Tensor type Q4_1: blocks of 32 weights, scale and minimum in f16, 4 bits each.
pub(super) const Q4_1: u32 = 3;
/// Tensor type Q8_0: blocks of 32 weights, scale in f16, 8 bits each.
pub(super) const Q8_0: u32 = 8;

const DEFAULT_ALIGNMENT: u64 = 32;
/// Nesting of arrays beyond this is no real file.
const MAX_DEPTH: u32 = 4;

/// One entry of the list of tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor<'data> {
    pub(super) name: &'data [u8],
    pub(super) shape: Vec<u64>,
    pub(super) kind: u32,
    pub(super) offset: u64,
}

impl Tensor<'_> {
    pub(super) fn weights(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))
    }
}

/// The parts of a file: everything before the list of tensors, the list, and their data.
#[derive(Debug)]
pub(super) struct Gguf<'data> {
    pub(super) head: &'data [u8],
    pub(super) tensors: Vec<Tensor<'data>>,
    pub(super) data: &'data [u8],
    pub(super) alignment: u64,
}

/// Parses a little-endian GGUF file of version 2 or 3; `None` when it is not one.
pub(super) fn parse(file: &[u8]) -> Option<Gguf<'_>> {
    let mut cursor = Cursor { file, at: 0 };
    if cursor.take(4)? != b"GGUF" || !matches!(cursor.u32()?, 2 | 3) {
        return None;
    }
    let (tensor_count, entries) = (cursor.u64()?, cursor.u64()?);
    let mut alignment = DEFAULT_ALIGNMENT;
    for _ in 0..entries {
        let key = cursor.text()?;
        let kind = cursor.u32()?;
        if key == b"general.alignment" && kind == 4 {
            alignment = u64::from(cursor.u32()?);
        } else {
            cursor.skip_value(kind, 0)?;
        }
    }
    if !alignment.is_power_of_two() {
        return None;
    }
    let head = file.get(..cursor.at)?;
    let mut tensors = Vec::new();
    for _ in 0..tensor_count {
        let name = cursor.text()?;
        let dimensions = cursor.u32()?;
        if dimensions > 8 {
            return None;
        }
        let shape = (0..dimensions).map(|_| cursor.u64()).collect::<Option<Vec<_>>>()?;
        tensors.push(Tensor { name, shape, kind: cursor.u32()?, offset: cursor.u64()? });
    }
    let start = (cursor.at as u64).checked_next_multiple_of(alignment)?;
    Some(Gguf { head, tensors, data: file.get(usize::try_from(start).ok()?..)?, alignment })
}

struct Cursor<'data> {
    file: &'data [u8],
    at: usize,
}

impl<'data> Cursor<'data> {
    fn take(&mut self, count: usize) -> Option<&'data [u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.file.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'data [u8]> {
        let length = usize::try_from(self.u64()?).ok()?;
        self.take(length)
    }

    fn skip_value(&mut self, kind: u32, depth: u32) -> Option<()> {
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => return self.text().map(|_| ()),
            9 if depth < MAX_DEPTH => {
                let (element, count) = (self.u32()?, self.u64()?);
                for _ in 0..count {
                    self.skip_value(element, depth + 1)?;
                }
                return Some(());
            }
            _ => return None,
        };
        self.take(size).map(|_| ())
    }
}

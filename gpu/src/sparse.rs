//! [`SparseMatrix`]: a matrix of which only entries are stored, multiplied on a device.

use std::sync::Arc;

use crate::device::{Device, map};
use crate::device::{Dispatch, Size};
use crate::error::Error;
use crate::precision::Precision;

/// A matrix in compressed sparse rows (CSR) on a device, copied there once and multiplied as often as wanted, from any thread.
///
/// ```text
/// [0 2 0]   row offsets  0 1 3     row r has the entries from offset r up to offset r + 1
/// [1 0 3]   columns      1 0 2
///           values       2 1 3
/// ```
/// The entries of a row may come in any order; those of the same place are added up. What is not stored is not multiplied: an
/// infinite number that only meets places without an entry leaves no NaN.
///
/// ```no_run
/// use ocelli_gpu::{Device, SparseMatrix};
///
/// # fn main() -> Result<(), ocelli_gpu::Error> {
/// let matrix = SparseMatrix::new(Device::shared(None)?, &[0, 1, 3], &[1, 0, 2], &[2.0, 1.0, 3.0], 3)?;
/// assert_eq!(matrix.multiply(&[1.0, 10.0, 100.0], 1)?, [20.0, 301.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SparseMatrix {
    device: Arc<Device>,
    /// One more than rows; the kernels trust them, because they were checked.
    offsets: wgpu::Buffer,
    columns: wgpu::Buffer,
    values: wgpu::Buffer,
    rows: usize,
    width: usize,
    entries: usize,
}

/// Threads of a workgroup, in both kernels.
const THREADS: usize = 64;

/// Numbers of one buffer. What the kernels count, and the little that they count beyond it, then has 32 bits.
const MOST_NUMBERS: usize = 1 << 31;

/// Behind `LANES`, for one column.
const VECTOR: &str =
    concat!(include_str!("kernel/shader.wgsl"), include_str!("sparse/csr.wgsl"), include_str!("sparse/spmv.wgsl"));

/// For more columns.
const DENSE: &str =
    concat!(include_str!("kernel/shader.wgsl"), include_str!("sparse/csr.wgsl"), include_str!("sparse/spmm.wgsl"));

impl SparseMatrix {
    /// Copies a matrix of shape `[row_offsets.len() - 1, width]` to a device. Rows, columns and entries are counted from 0.
    ///
    /// # Errors
    /// [`Error::Graph`] says what of it does not hold together: it has no rows, a row ends before it begins, there are more or
    /// fewer columns or values than entries, a column is not below `width`. [`Error::is_memory`] ones when the device has no room
    /// for it, [`Error::Lost`] when the device is gone.
    pub fn new(
        device: Arc<Device>,
        row_offsets: &[u32],
        columns: &[u32],
        values: &[f32],
        width: usize,
    ) -> Result<Self, Error> {
        device.check()?;
        check(row_offsets, columns, values, width).map_err(|reason| Error::Graph { reason })?;
        Ok(Self {
            offsets: filled(&device, row_offsets)?,
            columns: filled(&device, columns)?,
            values: filled(&device, values)?,
            rows: row_offsets.len() - 1,
            width,
            entries: values.len(),
            device,
        })
    }

    /// Its rows, and its columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.width]
    }

    /// Its product with a dense matrix, both in row-major order: `[rows, width] x [width, columns] -> [rows, columns]`.
    ///
    /// One column is added up by as many threads a row as suit the mean row (CSR-vector: Bell and Garland, "Implementing Sparse
    /// Matrix-Vector Multiplication on Throughput-Oriented Processors", 2009), more columns by a thread a result. Sums are in 32
    /// bits, in an order that depends on that.
    ///
    /// # Errors
    /// [`Error::Graph`] when `dense` has not `width * columns` numbers; [`Error::is_memory`] ones when fewer columns may do;
    /// [`Error::Lost`] when the device is gone.
    pub fn multiply(&self, dense: &[f32], columns: usize) -> Result<Vec<f32>, Error> {
        let Self { device, rows, width, .. } = self;
        device.check()?;
        let wanted = width.saturating_mul(columns);
        if dense.len() != wanted {
            let given = dense.len();
            let reason =
                format!("a matrix of {rows} x {width} times {columns} columns takes {wanted} numbers, got {given}");
            return Err(Error::Graph { reason });
        }
        // More than fits is too large for a buffer.
        let count = rows.saturating_mul(columns);
        if count == 0 {
            return Ok(Vec::new());
        }
        let out = buffer(device, count, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC)?;
        let staging = buffer(device, count, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?;
        let dense = filled(device, dense)?;
        let mut commands = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.encode(&mut commands, &dense, &out, columns)?;
        commands.copy_buffer_to_buffer(&out, 0, &staging, 0, (count * size_of::<f32>()) as u64);
        let submission = device.queue.submit([commands.finish()]);
        let mapped = map(&staging, wgpu::MapMode::Read);
        device.wait(submission)?;
        let lost = |reason: String| Error::Lost { reason };
        mapped.recv().map_err(|error| lost(error.to_string()))?.map_err(|error| lost(error.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|error| lost(error.to_string()))?;
        Ok(Precision::F32.decode(&view[..], count))
    }

    /// Writes the product into a command buffer.
    fn encode(
        &self,
        commands: &mut wgpu::CommandEncoder,
        dense: &wgpu::Buffer,
        out: &wgpu::Buffer,
        columns: usize,
    ) -> Result<(), Error> {
        let (name, source, groups) = self.kernel(columns);
        let size = Size { count: self.rows * columns, rows: self.rows, groups };
        let buffers = [&self.offsets, &self.columns, &self.values, dense, out];
        let dispatch = Dispatch::new(&self.device, name, &source, size, buffers.into_iter())?;
        dispatch.encode(&mut commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        Ok(())
    }

    /// What multiplies so many columns: its name, its source, and how many workgroups of it.
    fn kernel(&self, columns: usize) -> (&'static str, String, usize) {
        if columns == 1 {
            let lanes = lanes(self.rows, self.entries);
            let source = format!("const LANES: u32 = {lanes}u;\n{VECTOR}");
            return ("sparse_vector", source, self.rows.div_ceil(THREADS / lanes));
        }
        ("sparse_dense", DENSE.to_owned(), (self.rows * columns).div_ceil(THREADS))
    }
}

/// Why these are not a matrix. The kernels read wherever offsets and columns point to.
fn check(row_offsets: &[u32], columns: &[u32], values: &[f32], width: usize) -> Result<(), String> {
    let [first, .., last] = row_offsets else {
        let given = row_offsets.len();
        return Err(format!(
            "a matrix has one row or more, and one more row offset than rows; got {given} row offsets"
        ));
    };
    if *first != 0 {
        return Err(format!("row 0 of the matrix begins at entry {first} instead of 0"));
    }
    if let Some(row) = row_offsets.windows(2).position(|pair| pair[1] < pair[0]) {
        let (begin, end) = (row_offsets[row], row_offsets[row + 1]);
        return Err(format!("row {row} of the matrix ends before it begins: at entry {end}, from entry {begin}"));
    }
    let entries = *last as usize;
    if columns.len() != entries || values.len() != entries {
        let (columns, values) = (columns.len(), values.len());
        return Err(format!(
            "the rows of the matrix have {entries} entries, got {columns} columns and {values} values"
        ));
    }
    let Some(entry) = columns.iter().position(|&column| column as usize >= width) else {
        return Ok(());
    };
    // Empty rows begin where the row behind them does; the last of these has the entry.
    let row = row_offsets.partition_point(|&begin| begin as usize <= entry) - 1;
    Err(format!("row {row} of the matrix has an entry in column {}, and its width is {width}", columns[entry]))
}

/// How many threads add up a row: as many as the mean row has entries, in powers of two, so that few of them idle.
fn lanes(rows: usize, entries: usize) -> usize {
    entries.div_ceil(rows).next_power_of_two().min(THREADS)
}

/// Room for so many numbers of 32 bits.
fn buffer(device: &Device, numbers: usize, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Error> {
    let bytes = (numbers as u64).saturating_mul(4);
    if numbers > MOST_NUMBERS {
        return Err(Error::TooLarge { bytes, limit: device.largest_buffer().min(MOST_NUMBERS as u64 * 4) });
    }
    device.buffer(bytes, usage)
}

/// A buffer of these numbers, for kernels to read.
fn filled<T: bytemuck::Pod>(device: &Device, numbers: &[T]) -> Result<wgpu::Buffer, Error> {
    let made = buffer(device, numbers.len(), wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST)?;
    if !numbers.is_empty() {
        let bytes: &[u8] = bytemuck::cast_slice(numbers);
        device.upload(bytes.len(), &made, |write| write(0, bytes))?;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_as_many_as_the_mean_row_has_entries() {
        for (rows, entries, expected) in
            [(7, 0, 1), (7, 7, 1), (7, 8, 2), (10, 30, 4), (10, 320, 32), (10, 321, 64), (1, 100_000, 64)]
        {
            assert_eq!(lanes(rows, entries), expected, "{entries} in {rows} rows");
        }
    }
}

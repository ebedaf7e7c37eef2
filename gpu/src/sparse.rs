//! [`SparseMatrix`]: sparse-dense matrix products (SpMV and SpMM) on a device.

use std::sync::Arc;

use crate::device::{Device, Dispatch, DispatchUniform, map};
use crate::error::Error;
use crate::kernel::MAX_ELEMENTS;
use crate::precision::Precision;

/// A matrix in compressed sparse rows (CSR) on a device, uploaded once and multiplied any number of times, from any thread.
///
/// ```text
/// [0 2 0]   row offsets     0 1 3     row r has the entries from offset r up to offset r + 1
/// [1 0 3]   column indices  1 0 2
///           values          2 1 3
/// ```
/// The entries of a row may be in any order; duplicate entries are summed. Absent entries are not multiplied: an infinity or NaN of
/// the dense matrix that is multiplied by absent entries only does not reach the result.
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
    /// `rows + 1` offsets. The kernels do not check them, so they are validated before the upload.
    row_offsets: wgpu::Buffer,
    column_indices: wgpu::Buffer,
    values: wgpu::Buffer,
    rows: usize,
    num_cols: usize,
    nnz: usize,
}

/// The workgroup size of both kernels.
const WORKGROUP_SIZE: usize = 64;

/// The SpMV kernel for one dense column; needs `LANES_PER_ROW`.
const SPMV: &str =
    concat!(include_str!("kernel/shader.wgsl"), include_str!("sparse/csr.wgsl"), include_str!("sparse/spmv.wgsl"));

/// The SpMM kernel for several dense columns.
const SPMM: &str =
    concat!(include_str!("kernel/shader.wgsl"), include_str!("sparse/csr.wgsl"), include_str!("sparse/spmm.wgsl"));

impl SparseMatrix {
    /// Uploads a matrix of shape `[row_offsets.len() - 1, num_cols]`. All offsets and indices are zero-based.
    ///
    /// # Errors
    /// [`Error::Graph`] if the matrix is invalid: it has no rows, its row offsets decrease, there are more or fewer column indices or
    /// values than entries, or a column index is not below `num_cols`. [`Error::is_memory_limit`] ones if the device is out of
    /// memory, [`Error::Lost`] if it is lost.
    pub fn new(
        device: Arc<Device>,
        row_offsets: &[u32],
        column_indices: &[u32],
        values: &[f32],
        num_cols: usize,
    ) -> Result<Self, Error> {
        device.check()?;
        validate(row_offsets, column_indices, values, num_cols).map_err(|reason| Error::Graph { reason })?;
        Ok(Self {
            row_offsets: buffer_init(&device, row_offsets)?,
            column_indices: buffer_init(&device, column_indices)?,
            values: buffer_init(&device, values)?,
            rows: row_offsets.len() - 1,
            num_cols,
            nnz: values.len(),
            device,
        })
    }

    /// Its shape, `[rows, columns]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.num_cols]
    }

    /// Multiplies by a dense matrix, both in row-major order: `[rows, num_cols] x [num_cols, columns] -> [rows, columns]`.
    ///
    /// For one column (SpMV), several threads sum each row, chosen by the mean row length (CSR-vector: Bell and Garland,
    /// "Implementing Sparse Matrix-Vector Multiplication on Throughput-Oriented Processors", 2009). For more columns (SpMM), one
    /// thread computes one output. Sums are 32-bit floats, and their order depends on the kernel.
    ///
    /// # Errors
    /// [`Error::Graph`] if `dense` does not have `num_cols * columns` elements; [`Error::is_memory_limit`] ones if fewer columns
    /// may succeed; [`Error::Lost`] if the device is lost.
    pub fn multiply(&self, dense: &[f32], columns: usize) -> Result<Vec<f32>, Error> {
        let Self { device, rows, num_cols, .. } = self;
        device.check()?;
        let expected = num_cols.saturating_mul(columns);
        if dense.len() != expected {
            let actual = dense.len();
            let reason = format!(
                "a {rows} x {num_cols} matrix times {columns} columns needs {expected} dense elements, got {actual}"
            );
            return Err(Error::Graph { reason });
        }
        // A saturated product exceeds every buffer limit.
        let len = rows.saturating_mul(columns);
        if len == 0 {
            return Ok(Vec::new());
        }
        let out = buffer(device, len, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC)?;
        let staging = buffer(device, len, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?;
        let dense = buffer_init(device, dense)?;
        let mut commands = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.encode(&mut commands, &dense, &out, columns)?;
        commands.copy_buffer_to_buffer(&out, 0, &staging, 0, (len * size_of::<f32>()) as u64);
        let submission = device.queue.submit([commands.finish()]);
        let mapped = map(&staging, wgpu::MapMode::Read);
        device.read_back(submission, &staging, &mapped, |view| Precision::F32.decode(view, len))
    }

    /// Records the product into a command buffer.
    fn encode(
        &self,
        commands: &mut wgpu::CommandEncoder,
        dense: &wgpu::Buffer,
        out: &wgpu::Buffer,
        columns: usize,
    ) -> Result<(), Error> {
        let (name, source, num_workgroups) = self.kernel(columns);
        let uniform = DispatchUniform { num_elements: self.rows * columns, rows: self.rows, num_workgroups };
        let buffers = [&self.row_offsets, &self.column_indices, &self.values, dense, out];
        let dispatch = Dispatch::new(&self.device, name, &source, uniform, buffers.into_iter())?;
        dispatch.encode(&mut commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        Ok(())
    }

    /// The name, source and workgroup count of the kernel for `columns` dense columns.
    fn kernel(&self, columns: usize) -> (&'static str, String, usize) {
        if columns == 1 {
            let lanes_per_row = lanes_per_row(self.rows, self.nnz);
            let source = format!("const LANES_PER_ROW: u32 = {lanes_per_row}u;\n{SPMV}");
            return ("spmv", source, self.rows.div_ceil(WORKGROUP_SIZE / lanes_per_row));
        }
        ("spmm", SPMM.to_owned(), (self.rows * columns).div_ceil(WORKGROUP_SIZE))
    }
}

/// Checks the CSR invariants that the kernels rely on; returns a message if one is violated.
fn validate(row_offsets: &[u32], column_indices: &[u32], values: &[f32], num_cols: usize) -> Result<(), String> {
    let [first, .., last] = row_offsets else {
        let actual = row_offsets.len();
        return Err(format!("a CSR matrix needs at least two row offsets, one more than rows; got {actual}"));
    };
    if *first != 0 {
        return Err(format!("row offsets must start at 0, got {first}"));
    }
    if let Some(row) = row_offsets.windows(2).position(|pair| pair[1] < pair[0]) {
        let (begin, end) = (row_offsets[row], row_offsets[row + 1]);
        return Err(format!("row offsets must not decrease: row {row} begins at {begin} and ends at {end}"));
    }
    let nnz = *last as usize;
    if column_indices.len() != nnz || values.len() != nnz {
        let (column_indices, values) = (column_indices.len(), values.len());
        return Err(format!(
            "row offsets define {nnz} entries, got {column_indices} column indices and {values} values"
        ));
    }
    let Some(entry) = column_indices.iter().position(|&column| column as usize >= num_cols) else {
        return Ok(());
    };
    // Empty rows share their offset with the next row; the last row with this offset has the entry.
    let row = row_offsets.partition_point(|&begin| begin as usize <= entry) - 1;
    Err(format!("row {row} has column index {}, but the matrix has {num_cols} columns", column_indices[entry]))
}

/// Threads per row for SpMV: the mean row length, rounded up to a power of two, so that few threads idle.
fn lanes_per_row(rows: usize, nnz: usize) -> usize {
    nnz.div_ceil(rows).next_power_of_two().min(WORKGROUP_SIZE)
}

/// Creates a buffer of `len` 32-bit elements.
fn buffer(device: &Device, len: usize, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Error> {
    let bytes = (len as u64).saturating_mul(4);
    if len > MAX_ELEMENTS {
        return Err(Error::TooLarge { bytes, limit: device.max_buffer_size().min(MAX_ELEMENTS as u64 * 4) });
    }
    device.buffer(bytes, usage)
}

/// Creates a storage buffer with these contents.
fn buffer_init<T: bytemuck::Pod>(device: &Device, contents: &[T]) -> Result<wgpu::Buffer, Error> {
    let buffer = buffer(device, contents.len(), wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST)?;
    if !contents.is_empty() {
        let bytes: &[u8] = bytemuck::cast_slice(contents);
        device.upload(bytes.len(), &buffer, |write| write(0, bytes))?;
    }
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_per_row_follow_the_mean_row_length() {
        for (rows, nnz, expected) in
            [(7, 0, 1), (7, 7, 1), (7, 8, 2), (10, 30, 4), (10, 320, 32), (10, 321, 64), (1, 100_000, 64)]
        {
            assert_eq!(lanes_per_row(rows, nnz), expected, "{nnz} entries in {rows} rows");
        }
    }
}

import Foundation

/// The records of a job in numbered files, each of them complete when it appears.
///
/// A copy of a growing file may be older than the file, so a file that can be copied never
/// changes again: lines go to `open.part`, which is renamed to the next number after
/// `secondsPerFile` or `linesPerFile`. A line that a crash cut off is dropped on opening.
public final class RecordLog {
    public struct Limits: Sendable {
        public var seconds: Double
        public var lines: Int
        public init(seconds: Double = 2, lines: Int = 5000) {
            self.seconds = seconds
            self.lines = lines
        }
    }

    public private(set) var earlier: [Record] = []
    private let folder: URL
    private let limits: Limits
    private var handle: FileHandle?
    private var opened = Date()
    private var lines = 0
    private var number = 0
    private var part: URL { folder.appendingPathComponent("open.part") }

    /// Opens a job's records; those of another beginning than `hello` are set aside.
    public init(_ job: URL, hello: Record, limits: Limits = Limits()) throws {
        folder = job.appendingPathComponent("records")
        self.limits = limits
        try open()
        if let first = earlier.first, first != hello {
            try setAside(job)
            try open()
        }
        if earlier.isEmpty { try append(hello) }
    }

    private func open() throws {
        (earlier, number) = ([], 0)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        while let content = try? Data(contentsOf: place(number + 1)) {
            number += 1
            earlier += Self.whole(content).1
        }
        let (kept, records) = Self.whole((try? Data(contentsOf: part)) ?? Data())
        try kept.write(to: part, options: .atomic)
        earlier += records
        lines = records.count
        try publish()
    }

    /// Keeps what was recorded before under another name.
    private func setAside(_ job: URL) throws {
        var number = 1
        while FileManager.default.fileExists(atPath: old(job, number).path) { number += 1 }
        try FileManager.default.moveItem(at: folder, to: old(job, number))
    }

    private func old(_ job: URL, _ number: Int) -> URL {
        job.appendingPathComponent("records-old-\(number)")
    }

    public func append(_ record: Record) throws {
        do {
            if handle == nil {
                if !FileManager.default.fileExists(atPath: part.path) { try Data().write(to: part) }
                handle = try FileHandle(forWritingTo: part)
                try handle?.seekToEnd()
                opened = Date()
            }
            try handle?.write(contentsOf: Data((try record.line() + "\n").utf8))
            lines += 1
            let late = -opened.timeIntervalSinceNow >= limits.seconds
            if late || lines >= limits.lines || record.type == "bye" { try publish() }
        } catch {
            throw RecordError("\(error)")
        }
    }

    /// The whole job as one file, once it is complete.
    public func join(to url: URL) throws {
        var all = Data()
        for file in 1..<max(number + 1, 1) { all += try Data(contentsOf: place(file)) }
        try all.write(to: url, options: .atomic)
    }

    private func publish() throws {
        try handle?.close()
        handle = nil
        guard lines > 0 else { return }
        number += 1
        try FileManager.default.moveItem(at: part, to: place(number))
        lines = 0
    }

    private func place(_ number: Int) -> URL {
        let digits = String(number)
        let padded = String(repeating: "0", count: max(0, 6 - digits.count)) + digits
        return folder.appendingPathComponent("\(padded).jsonl")
    }

    /// The content up to its last whole record, and its records.
    private static func whole(_ content: Data) -> (Data, [Record]) {
        var kept = Data()
        var records: [Record] = []
        for line in content.split(separator: 0x0A, omittingEmptySubsequences: true) {
            guard let record = Record.parse(String(decoding: line, as: UTF8.self)) else { break }
            if line.endIndex == content.endIndex { break }  // its end is missing
            records.append(record)
            kept += line + [0x0A]
        }
        return (kept, records)
    }
}

/// The records could not be written.
public struct RecordError: Error {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
}

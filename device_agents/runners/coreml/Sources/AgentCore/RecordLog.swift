import Foundation

/// An append-only file of records; a line that a crash cut off is dropped on opening.
public final class RecordLog {
    public let earlier: [Record]
    private let handle: FileHandle

    public init(_ url: URL) throws {
        let old = (try? Data(contentsOf: url)) ?? Data()
        let end = old.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        let whole = String(decoding: old.prefix(end), as: UTF8.self)
        earlier = whole.split(separator: "\n").compactMap { Record.parse(String($0)) }
        try old.prefix(end).write(to: url, options: .atomic)
        handle = try FileHandle(forWritingTo: url)
        try handle.seekToEnd()
    }

    public func append(_ record: Record) throws {
        do {
            try handle.write(contentsOf: Data((try record.line() + "\n").utf8))
        } catch {
            throw RecordError("\(error)")
        }
    }
}

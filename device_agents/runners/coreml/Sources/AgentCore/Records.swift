import Foundation

/// One line of the kit's stream; nil fields are left out.
public struct Record: Codable, Equatable, Sendable {
    public var type: String
    public var schemaVersion: Int?
    public var nonce: String?
    public var runner: String?
    public var runnerSha256: String?
    public var runnerBuild: String?
    public var runtime: String?
    public var runtimeVersion: String?
    public var backend: String?
    public var threads: Int?
    public var clockResolutionNs: Int64?
    public var deviceModel: String?
    public var osBuild: String?
    public var item: Int?
    public var sha256: String?
    public var round: Int?
    public var loops: Int?
    public var loadNs: Int64?
    public var placement: String?
    public var ns: Int64?
    public var firstNs: Int64?
    public var atNs: Int64?
    public var thermalState: String?
    public var kind: String?
    public var message: String?
    public var samples: Int?
    public var sentinels: Int?
    public var failures: Int?

    public init(type: String) { self.type = type }

    /// One line of JSON without its end, keys in the kit's spelling.
    public func line() throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .custom { path in Key(snake(path[path.count - 1].stringValue)) }
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// Reads a line back; nil for one that was cut off.
    public static func parse(_ line: String) -> Record? {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .custom { path in Key(camel(path[path.count - 1].stringValue)) }
        return try? decoder.decode(Record.self, from: Data(line.utf8))
    }
}

struct Key: CodingKey {
    let stringValue: String
    let intValue: Int? = nil
    init(_ text: String) { stringValue = text }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

func snake(_ word: String) -> String {
    if word == "runnerSha256" { return "runner_sha256" }
    return word.reduce(into: "") { made, letter in
        if letter.isUppercase { made += "_" }
        made += letter.lowercased()
    }
}

extension Record {
    static func of(_ type: String, item: Int) -> Record {
        var record = Record(type: type)
        record.item = item
        return record
    }
}

func camel(_ word: String) -> String {
    let parts = word.split(separator: "_")
    guard let first = parts.first else { return word }
    return parts.dropFirst().reduce(String(first)) { $0 + $1.prefix(1).uppercased() + $1.dropFirst() }
}
